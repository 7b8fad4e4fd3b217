// What all pages share: elements by name, colours, sharp canvases, groups of buttons, the signs of a legend.
const $ = (id) => document.getElementById(id);
const setText = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["left", "right", "middle", "accent", "ink", "soft", "line", "edge", "ground", "card"])
    colours[name] = style.getPropertyValue(`--${name}`).trim();
}

// As many pixels as the screen has, in units of CSS px.
function sharpen(canvas, context) {
  const ratio = Math.min(devicePixelRatio || 1, 3), w = Math.round(canvas.clientWidth * ratio), h = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
}

const wideScreen = () => matchMedia("(min-width: 68rem)").matches;

// Asks the page for a `draw()` before the next frame; the eye is placed anew at once.
let asked = false;
function redraw(refit = false) {
  if (refit) fitStage();
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}

const fitStage = () => fit($("stage").clientWidth, $("stage").clientHeight);

function nearest(places, event, reach) {
  const box = event.target.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = null, least = reach;
  for (const place of places) {
    const far = Math.hypot(place.x - x, place.y - y);
    if (far < least) [least, best] = [far, place];
  }
  return best;
}

function press(group, key, value) {
  for (const button of $(group).children) button.setAttribute("aria-pressed", String(button.dataset[key] === value));
}

const SHAPES = {
  solid: "M2 7.5h20", dashed: "M2 7.5h20", thin: "M2 12 22 3M2 8 22 7M2 4 22 11", ball: "M12 7.5m-7 0a7 7 0 1 0 14 0a7 7 0 1 0-14 0", dot: "M12 7.5m-4.4 0a4.4 4.4 0 1 0 8.8 0a4.4 4.4 0 1 0-8.8 0",
  ring: "M12 7.5m-7 0a7 7 0 1 0 14 0a7 7 0 1 0-14 0",
  curve: "M1 12 7 6l5 3 5-6 6 4", hatch: "M2 14 10 1M8 14 16 1M14 14 22 1", lane: "M2 7.5h20",
};

function mark(list, shape, side, text) {
  const item = document.createElement("li"), label = document.createElement("span");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 15");
  svg.setAttribute("aria-hidden", "true");
  const looks = {
    solid: { "stroke-width": 4.5 }, dashed: { "stroke-width": 3.6, "stroke-dasharray": "5 3.5" }, thin: { "stroke-width": 1 }, curve: { "stroke-width": 2 },
    ball: { "stroke-width": 1, fill: "currentColor", "fill-opacity": 0.2 }, ring: { "stroke-width": 1.4 }, dot: { "stroke-width": 2 }, hatch: { "stroke-width": 1 }, lane: { "stroke-width": 5 },
  }[shape];
  const all = { d: SHAPES[shape], fill: "none", stroke: "currentColor", "stroke-linecap": shape === "solid" ? "round" : "butt", ...looks };
  for (const [name, value] of Object.entries(all)) path.setAttribute(name, value);
  svg.append(path);
  label.textContent = text;
  item.className = side;
  item.append(svg, label);
  list.append(item);
}

function watchTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)"), root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const changed = () => {
    $("theme").setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
    readColours();
    colours.dark = isDark();
    redraw();
  };
  $("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    changed();
  });
  dark.addEventListener("change", changed);
  changed();
}
