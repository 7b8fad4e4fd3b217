// What the pages share: requests that are repeated until they arrive, and the reference figure.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (selector) => document.querySelector(selector);

export function svg(name, attributes = {}, parent = null) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
}

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Ask the server. A request that does not arrive is sent again: the server stores an answer with one id once. */
export async function ask(path, body = undefined, onTrouble = () => {}) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    let response;
    try {
      response = await fetch(path, options);
    } catch {
      onTrouble("The server cannot be reached; trying again …");
      await new Promise((resolve) => setTimeout(resolve, wait));
      continue;
    }
    const content = await response.json().catch(() => ({}));
    if (response.status === 503) {
      onTrouble(`${content.error || "The server is busy."} Trying again …`);
      await new Promise((resolve) => setTimeout(resolve, wait));
      continue;
    }
    if (response.ok) return content;
    throw new Refusal(response.status, content.error || `The server answered with ${response.status}.`);
  }
}

// Thick strokes that make a body of the reference figure: joints of smpl22 and a width.
const FLESH = [
  ["left_shoulder", "left_elbow", 22], ["left_elbow", "left_wrist", 17], ["left_hip", "left_knee", 30],
  ["left_knee", "left_ankle", 22], ["left_ankle", "left_foot", 16],
];

/** Draw the reference figure into an empty <svg>; returns a function that lights joints: light({joint: class}). */
export function drawFigure(root, figure) {
  root.setAttribute("viewBox", "0 0 200 400");
  root.classList.add("figure");
  const body = figure.body;
  const line = (a, b, width) =>
    svg("line", { class: "flesh", x1: a[0], y1: a[1], x2: b[0], y2: b[1], "stroke-width": width }, root);
  for (const [a, b, width] of FLESH) {
    line(body[a], body[b], width);
    line(body[a.replace("left", "right")], body[b.replace("left", "right")], width);
  }
  const trunk = ["left_shoulder", "left_hip", "right_hip", "right_shoulder"].map((joint) => body[joint].join(","));
  svg("polygon", { class: "flesh", points: trunk.join(" "), "stroke-width": 24 }, root);
  line(body.neck, body.head, 20);
  svg("ellipse", { class: "flesh", cx: 100, cy: 48, rx: 21, ry: 27 }, root);
  for (const [a, b] of figure.bones) {
    const [p, q] = [figure.places[a], figure.places[b]];
    svg("line", { class: "bone", x1: p[0], y1: p[1], x2: q[0], y2: q[1] }, root);
  }
  const joints = {};
  for (const [name, [x, y]] of Object.entries(figure.places)) {
    joints[name] = svg("circle", { class: "joint", cx: x, cy: y, r: 4 }, root);
  }
  svg("text", { x: 22, y: 262 }, root).textContent = "right";
  svg("text", { x: 178, y: 262 }, root).textContent = "left";
  return (lit) => {
    for (const [name, circle] of Object.entries(joints)) {
      circle.setAttribute("class", `joint ${lit[name] || ""}`);
      circle.setAttribute("r", lit[name] ? 10 : 4);
      if (lit[name]) root.append(circle);
    }
  };
}
