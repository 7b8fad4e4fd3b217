// Clicking the joints of one person. Points are kept in pixels of the photograph; undefined: not done, null: not visible.
import { $, ask, drawFigure, svg } from "./common.js";

const RADIUS = 6; // of a joint on the screen, px
const REACH = 16; // how near a press must be to take hold of a joint, px
const SLOP = 4; // a press that moves less is a click, px

const task = await ask("api/click");
const figure = await ask("api/figure");
const [width, height] = task.size;
const names = task.joints.map((joint) => joint.name);
const titles = Object.fromEntries(task.joints.map((joint) => [joint.name, joint.title]));

// Clicks that are not saved yet are kept in this browser, and dropped when the file has changed meanwhile.
const SHELF = `poseterior-clicks ${JSON.stringify([task.photo, task.size, task.out, names])}`;
let onDisk = JSON.stringify(task.points);

function takeUp() {
  try {
    const kept = JSON.parse(localStorage.getItem(SHELF));
    return kept && kept.onDisk === onDisk ? kept : null;
  } catch {
    return null;
  }
}

/** Whether nothing would be lost with the page. */
function keep() {
  try {
    if (saved) localStorage.removeItem(SHELF);
    else localStorage.setItem(SHELF, JSON.stringify({ onDisk, points, current, history }));
    return true;
  } catch {
    return saved; // a browser that keeps nothing
  }
}

const kept = takeUp();
let points = kept ? kept.points : { ...task.points };
let current = kept ? kept.current : names.find((name) => points[name] === undefined) ?? null;
let history = kept ? kept.history : [];
let saved = !kept;
let view = [0, 0, width, height];
let press = null;

const picture = $("#picture");
const light = drawFigure($("#figure"), figure);
svg("image", { href: "photo", width, height }, picture);
const layer = svg("g", {}, picture);

// -- drawing ------------------------------------------------------------------------------------------

/** Pixels of the photograph for one on the screen. */
function pixel() {
  const shown = picture.getBoundingClientRect();
  return 1 / Math.min(shown.width / view[2], shown.height / view[3]);
}

function draw() {
  picture.setAttribute("viewBox", view.join(" "));
  const scale = pixel();
  layer.replaceChildren();
  for (const [a, b] of figure.bones) {
    if (points[a] && points[b]) {
      svg("line", { class: "limb", x1: points[a][0], y1: points[a][1], x2: points[b][0], y2: points[b][1] }, layer);
    }
  }
  for (const name of names.filter((joint) => points[joint])) {
    const side = name.startsWith("left_") ? "left" : name.startsWith("right_") ? "right" : "middle";
    const pin = svg("g", { class: `pin ${side} ${name === current ? "now" : ""}` }, layer);
    const at = { cx: points[name][0], cy: points[name][1] };
    svg("circle", { ...at, r: REACH * scale, class: "hit" }, pin);
    svg("circle", { ...at, r: RADIUS * scale, class: "core" }, pin);
    svg("title", {}, pin).textContent = titles[name];
  }
  const done = names.filter((name) => points[name] !== undefined).length;
  $("#track").setAttribute("aria-valuemax", names.length);
  $("#track").setAttribute("aria-valuenow", done);
  $("#track > div").style.width = `${(100 * done) / names.length}%`;
  $("#count").textContent = `${done} of ${names.length}`;
  $("#step").textContent = current ? `Joint ${names.indexOf(current) + 1} of ${names.length}: click the` : "All joints are done";
  $("#joint").textContent = current ? titles[current] : "Check, then save";
  light(current ? { [current]: "first" } : {});
  $("#skip").disabled = current === null;
  $("#undo").disabled = history.length === 0;
  $("#save").disabled = done < names.length || !Object.values(points).some((point) => point);
  drawList();
  keep();
}

function drawList() {
  $("#list").replaceChildren(
    ...names.map((name) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      const [title, place] = [document.createElement("span"), document.createElement("span")];
      title.textContent = titles[name];
      const point = points[name];
      place.textContent = point === undefined ? "" : point === null ? "not visible" : point.map(Math.round).join(", ");
      button.append(title, place);
      button.onclick = () => {
        current = name;
        draw();
      };
      item.append(button);
      if (name === current) item.setAttribute("aria-current", "step");
      return item;
    }),
  );
  const now = $("#list [aria-current]");
  if (now) now.scrollIntoView({ block: "nearest" });
}

// -- changing -----------------------------------------------------------------------------------------

function set(name, point) {
  history.push({ name, before: points[name], current });
  points[name] = point;
  saved = false;
  say("");
}

function advance() {
  const after = [...names.slice(names.indexOf(current) + 1), ...names];
  current = after.find((name) => points[name] === undefined) ?? null;
  draw();
}

function undo() {
  const step = history.pop();
  if (!step) return;
  if (step.before === undefined) delete points[step.name];
  else points[step.name] = step.before;
  current = step.current;
  saved = false;
  say("");
  draw();
}

function skip() {
  if (current === null) return;
  set(current, null);
  advance();
}

async function save() {
  try {
    const { command, points: stored } = await ask("api/click", { points }, (text) => say(text, "bad"));
    saved = true;
    onDisk = JSON.stringify(stored);
    keep();
    say(`Saved ${task.out}. Next: ${command}`, "good");
  } catch (error) {
    say(error.message, "bad");
  }
}

function say(text, kind = "") {
  $("#message").textContent = text;
  $("#message").className = `message small ${kind}`;
}

// -- zoom and pointer ---------------------------------------------------------------------------------

function place(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
  return [at.x, at.y];
}

function zoom(factor, centre = [view[0] + view[2] / 2, view[1] + view[3] / 2]) {
  const size = Math.min(Math.max(view[2] * factor, width / 40), width);
  const ratio = size / view[2];
  move(centre[0] - (centre[0] - view[0]) * ratio, centre[1] - (centre[1] - view[1]) * ratio, size, (size * height) / width);
}

function move(x, y, w, h) {
  view = [Math.min(Math.max(x, 0), width - w), Math.min(Math.max(y, 0), height - h), w, h];
  draw();
}

function nearest(at) {
  const distance = (name) => Math.hypot(points[name][0] - at[0], points[name][1] - at[1]);
  const near = names.filter((name) => points[name] && distance(name) < REACH * pixel());
  return near.sort((a, b) => distance(a) - distance(b))[0] ?? null;
}

const clamp = ([x, y]) => [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];

picture.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || press) return;
  picture.setPointerCapture(event.pointerId);
  const at = place(event);
  press = { id: event.pointerId, x: event.clientX, y: event.clientY, at, view: [...view], joint: nearest(at), moved: false };
});

picture.addEventListener("pointermove", (event) => {
  if (!press || event.pointerId !== press.id) return;
  const [dx, dy] = [event.clientX - press.x, event.clientY - press.y];
  if (!press.moved && Math.hypot(dx, dy) < SLOP) return;
  if (!press.moved && press.joint) set(press.joint, points[press.joint]);
  press.moved = true;
  if (press.joint) {
    points[press.joint] = clamp(place(event));
    draw();
  } else {
    move(press.view[0] - dx * pixel(), press.view[1] - dy * pixel(), view[2], view[3]);
  }
});

picture.addEventListener("pointerup", (event) => {
  if (!press || event.pointerId !== press.id) return;
  const { moved, at } = press;
  press = null;
  const inside = at[0] >= 0 && at[0] <= width && at[1] >= 0 && at[1] <= height;
  if (moved || current === null || !inside) return;
  set(current, at);
  advance();
});
picture.addEventListener("pointercancel", () => (press = null));

picture.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, place(event));
}, { passive: false });

const KEYS = { s: skip, u: undo, "+": () => zoom(1 / 1.4), "=": () => zoom(1 / 1.4), "-": () => zoom(1.4), 0: () => move(0, 0, width, height) };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const action = KEYS[event.key.toLowerCase()];
  if (action) {
    event.preventDefault();
    action();
  }
});

$("#in").onclick = () => zoom(1 / 1.4);
$("#out").onclick = () => zoom(1.4);
$("#fit").onclick = () => move(0, 0, width, height);
$("#skip").onclick = skip;
$("#undo").onclick = undo;
$("#save").onclick = save;
$("#photo").textContent = task.photo;
window.addEventListener("beforeunload", (event) => keep() || event.preventDefault());
if (kept) say("Your unsaved clicks are back.");
new ResizeObserver(draw).observe($("#stage"));
draw();
