// Controls, and when what is drawn again.
const $ = (id) => document.getElementById(id);
const setText = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
const canvases = { stage: $("stage"), picture: $("picture"), timeline: $("timeline") };
const isClip = scene.frames.length > 1;
let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["left", "right", "middle", "accent", "ink", "soft", "line", "ground", "card"])
    colours[name] = style.getPropertyValue(`--${name}`).trim();
}

// As many pixels as the screen has, in units of CSS px.
function sharpen(canvas, context) {
  const ratio = Math.min(devicePixelRatio || 1, 3), w = Math.round(canvas.clientWidth * ratio), h = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
}

const wideScreen = () => matchMedia("(min-width: 68rem)").matches;

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

const fitStage = () => fit(canvases.stage.clientWidth, canvases.stage.clientHeight);

function draw() {
  drawStage(canvases.stage, colours);
  if (!$("picture-panel").hidden) drawPicture(canvases.picture, $("picture-box"), colours);
  updateJoints();
  showTip($("tip"), canvases.stage);
  if (isClip) {
    drawTimeline(canvases.timeline, colours);
    setText("time", (scene.rateKnown ? `${seconds(state.step)} s · ` : "") + `frame ${scene.frames[state.step]} · step ${state.step + 1} of ${scene.frames.length}`);
    $("scrub").value = state.step;
    $("scrub").setAttribute("aria-valuetext", timeLabel(state.step));
  }
  canvases.stage.setAttribute("aria-label", `3D view of ${shown().map((track) => track.label).join(", ")}`);
}

// -- joints and people ---------------------------------------------------------------------------------

function select(joint, pin) {
  if (pin) state.pinned = state.pinned === joint ? -1 : joint;
  state.hover = pin ? -1 : joint;
  redraw();
}

function choosePerson(number) {
  if (number === state.person) return;
  state.person = number;
  $("person").value = number;
  canvases.timeline.setAttribute("aria-label", describeTimeline());
  redraw(state.alone);
}

function nearest(places, event, reach) {
  const box = event.target.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = null, least = reach;
  for (const place of places) {
    const far = Math.hypot(place.x - x, place.y - y);
    if (far < least) [least, best] = [far, place];
  }
  return best;
}

function watchPointer(canvas, places) {
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse" || event.buttons) return;
    const hit = nearest(places, event, 16);
    canvas.classList.toggle("over", !!hit);
    if (hit) choosePerson(hit.person);
    if ((hit ? hit.joint : -1) !== state.hover) select(hit ? hit.joint : -1, false);
  });
  canvas.addEventListener("pointerleave", () => state.hover >= 0 && select(-1, false));
  canvas.addEventListener("click", (event) => {
    if (canvas.dataset.dragged === "yes") return;
    const hit = nearest(places, event, 22);
    if (hit) choosePerson(hit.person);
    state.pinned = hit && hit.joint !== state.pinned ? hit.joint : -1;
    state.hover = -1;
    redraw();
  });
}

// -- the eye -------------------------------------------------------------------------------------------

function turn(yaw, pitch) {
  cancelAnimationFrame(turning);
  eye.yaw += yaw;
  eye.pitch = Math.min(Math.max(eye.pitch + pitch, -30), 89.9);
  press("views", "view", "");
  redraw();
}

function zoom(factor) {
  eye.zoom = Math.min(Math.max(eye.zoom * factor, 0.4), 8);
  redraw();
}

function watchEye(canvas) {
  let last = null, moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    last = [event.clientX, event.clientY];
    moved = 0;
    canvas.dataset.dragged = "no";
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last || !event.buttons) return;
    const dx = event.clientX - last[0], dy = event.clientY - last[1];
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved < 5) return;
    canvas.dataset.dragged = "yes";
    canvas.classList.add("turning");
    last = [event.clientX, event.clientY];
    turn(-dx * 0.45, dy * 0.3);
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, () => {
      last = null;
      canvas.classList.remove("turning");
    });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !wideScreen()) return; // where the page scrolls, it may
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0015));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => lookFrom("turned", redraw));
  canvas.addEventListener("keydown", (event) => {
    const turns = { ArrowLeft: [8, 0], ArrowRight: [-8, 0], ArrowUp: [0, 6], ArrowDown: [0, -6] }[event.key];
    if (turns) turn(...turns);
    else if (event.key === "+" || event.key === "=") zoom(1.15);
    else if (event.key === "-") zoom(1 / 1.15);
    else if (event.key === "0") lookFrom("turned", redraw);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

// -- playing -------------------------------------------------------------------------------------------

let began = 0;
function play(on) {
  state.playing = on;
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  $("play-icon").setAttribute("d", on ? "M5.5 3.5h3v13h-3zM11.5 3.5h3v13h-3z" : "M6 3.5v13l11-6.5z");
  if (!on) return;
  if (state.step === scene.frames.length - 1) state.step = 0;
  began = performance.now() - (1000 * clock.starts[state.step]) / state.speed;
  requestAnimationFrame(tick);
}

function tick(now) {
  if (!state.playing) return;
  let time = ((now - began) / 1000) * state.speed;
  if (time >= clock.end) {
    began = now;
    time = 0;
  }
  const step = stepAt(Math.max(time, 0));
  if (step !== state.step) {
    state.step = step;
    redraw();
  }
  requestAnimationFrame(tick);
}

function goTo(step) {
  state.step = Math.min(Math.max(step, 0), scene.frames.length - 1);
  if (state.playing) began = performance.now() - (1000 * clock.starts[state.step]) / state.speed;
  redraw();
}

function watchTimeline(canvas) {
  const scrub = (event) => {
    play(false);
    goTo(stepAt(xToTime(event.clientX - canvas.getBoundingClientRect().left, canvas.clientWidth) + 1e-9));
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    scrub(event);
    $("scrub").focus({ preventScroll: true });
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && scrub(event));
  $("scrub").max = scene.frames.length - 1;
  $("scrub").addEventListener("input", () => {
    play(false);
    goTo(+$("scrub").value);
  });
  $("play").addEventListener("click", () => play(!state.playing));
  $("speed").addEventListener("change", () => {
    state.speed = +$("speed").value;
    if (state.playing) play(true);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const kind = event.target.tagName;
    if (event.key === " " && !["BUTTON", "SELECT", "SUMMARY"].includes(kind)) play(!state.playing);
    else if (["ArrowLeft", "ArrowRight"].includes(event.key) && !["SELECT", "INPUT"].includes(kind)) {
      play(false);
      goTo(state.step + (event.key === "ArrowLeft" ? -1 : 1));
    } else return;
    event.preventDefault();
  });
}

// -- what stands around --------------------------------------------------------------------------------

function press(group, key, value) {
  for (const button of $(group).children) button.setAttribute("aria-pressed", String(button.dataset[key] === value));
}

function setMode(mode) {
  const wider = mode === "bodies" || state.mode === "bodies"; // a surface reaches farther than its bones
  state.mode = mode;
  press("modes", "mode", mode);
  buildLegend();
  redraw(wider);
}

function toggle(id, key, then) {
  const button = $(id);
  button.setAttribute("aria-pressed", String(state[key] === true || state[key] === "seen"));
  button.addEventListener("click", () => {
    state[key] = key === "place" ? (state.place === "seen" ? "beside" : "seen") : !state[key];
    button.setAttribute("aria-pressed", String(state[key] === true || state[key] === "seen"));
    buildLegend();
    redraw(then);
  });
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

function buildLegend() {
  const list = $("legend");
  list.replaceChildren();
  mark(list, "solid", "left", "person's left");
  mark(list, "solid", "right", "person's right");
  mark(list, "solid", "middle", "middle");
  if (anyUnseen) mark(list, "dashed", "middle", state.mode === "bodies" ? "not seen (hollow)" : "not seen (hollow, dashed)");
  if (state.regions) mark(list, "ball", "middle", `shaded: ${scene.regionLabel}`);
  if (state.regions && tracks.some((track) => track.radius.values.some((r) => r > FILLED))) mark(list, "ring", "middle", `outline: such a radius above ${FILLED} m`);
  if (state.mode === "samples") mark(list, "thin", "middle", `thin: ${scene.samples.shown === scene.samples.of ? scene.samples.of : `${scene.samples.shown} of ${scene.samples.of}`} ${scene.samplesWord}; thick: their mean`);
  if (state.mode === "clusters") mark(list, "thin", "middle", "thin: clusters of the samples; thick: their mean");
  if (state.mode === "bodies") mark(list, "thin", "middle", bodiesText());
  if (state.ellipsoids) mark(list, "dashed", "middle", "1σ of the lifter's covariance");
  const item = document.createElement("li");
  item.className = "soft";
  item.textContent = placeText();
  list.append(item);
}

function bodiesText() {
  const count = surfaces[0].turns.shape[1] - 1;
  return count ? `solid: mean body; outlined, transparent: ${count} sample${count === 1 ? "" : "s"}` : "solid: the body";
}

function placeText() {
  const grid = "floor grid in metres";
  if (state.place === "seen") return isClip ? `${grid}; the line is the way of the pelvis over the floor` : `${grid}; people where ${scene.world ? "they were in the world" : "the camera sees them"}`;
  return tracks.length > 1 && !state.alone ? `${grid}; people side by side, not where they were` : `${grid}, from the pelvis`;
}

function buildPage() {
  const people = scene.people.of, count = scene.people.shown < people ? `${scene.people.shown} of ${people} people` : `${people} ${people === 1 ? "person" : "people"}`;
  const parts = [scene.lifter && `lifter ${scene.lifter}`, count];
  if (isClip) parts.push(`${scene.frames.length} frames at ${scene.pace}${scene.rateKnown ? "" : ", assumed"}`);
  if (anyRegion) parts.push(`${scene.regionLabel}s`.replace(/region \((\w+)\)s/, "regions, $1"));
  setText("about", parts.filter(Boolean).join(" · "));
  setText("regions", `${percent(scene.level)} regions`);
  setText("joints-unit", anyRegion ? `${percent(scene.level)} radius, mm` : "");
  $("joints").classList.toggle("plain", !anyRegion);
  $("regions").hidden = !anyRegion;
  $("regions").title = scene.regionLabel;
  $("ellipsoids").hidden = !scene.show.ellipsoids;
  $("place").hidden = !seenPlaces;
  setText("place", isClip ? "Path over the floor" : scene.world ? "In the world" : "Before the camera");
  if (scene.world) {
    const along = (name) => `Along the world's ${name.replace("-", "")}`;
    const titles = { turned: "A little turned", front: along(scene.world[2]), side: along(scene.world[0]) };
    for (const button of $("views").children) button.title = titles[button.dataset.view] || "";
    // no camera of a world is in front: its axes name the views
    const named = (name) => (/^-?[xyz]$/.test(name) ? `Along ${name.replace("-", "")}` : `Along ${name}`);
    for (const [view, axis] of [["front", 2], ["side", 0]]) document.querySelector(`[data-view=${view}]`).textContent = named(scene.world[axis]);
    $("place").title = "People where they were in the world, or beside each other";
  }
  $("alone").hidden = $("person-label").hidden = tracks.length < 2;
  $("picture-panel").hidden = !hasPicture();
  $("player-panel").hidden = !isClip;
  $("main").classList.toggle("bare", !hasPicture());
  $("main").classList.toggle("clip", isClip);
  for (const button of $("modes").children) {
    if (button.dataset.mode === "samples") {
      button.hidden = !scene.samples.shown;
      button.textContent = scene.samplesWord[0].toUpperCase() + scene.samplesWord.slice(1);
    }
    if (button.dataset.mode === "bodies") button.hidden = !rig;
    if (button.dataset.mode === "clusters") button.hidden = !tracks.some((track) => track.clusters);
  }
  tracks.forEach((track) => {
    const option = document.createElement("option");
    option.value = track.number;
    option.textContent = track.label;
    $("person").append(option);
  });
  for (const [name, text] of scene.facts) {
    const row = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = text;
    row.append(dt, dd);
    $("facts").append(row);
  }
  const times = $("timeline-legend");
  if (anyRegion) mark(times, "curve", "middle", `${percent(scene.level)} radius, mean of the joints (mm); of the joint that is chosen, in its colour`);
  if (tracks.some((track) => gapTimes(track).length)) mark(times, "hatch", "middle", "no frames, or the person is not there");
  if (anyUnseen) mark(times, "lane", "unseen", "joints not seen (darker: more)");
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

if (tracks.length > 2 && innerWidth < 600) state.alone = true; // a row of people would be tiny
buildPage();
buildJoints(select);
loadImages(() => redraw());
watchTheme();
watchPointer(canvases.stage, hits);
watchPointer(canvases.picture, spots);
watchEye(canvases.stage);
if (isClip) watchTimeline(canvases.timeline);
canvases.timeline.setAttribute("aria-label", describeTimeline());
toggle("regions", "regions", true);
toggle("ellipsoids", "ellipsoids", false);
toggle("place", "place", true);
toggle("alone", "alone", true);
for (const button of $("modes").children) button.addEventListener("click", () => setMode(button.dataset.mode));
for (const button of $("views").children)
  button.addEventListener("click", () => {
    press("views", "view", button.dataset.view);
    lookFrom(button.dataset.view, redraw);
  });
$("closer").addEventListener("click", () => zoom(1.2));
$("farther").addEventListener("click", () => zoom(1 / 1.2));
$("person").addEventListener("change", () => choosePerson(+$("person").value));
setMode(rig ? "bodies" : scene.samples.shown ? "samples" : "mean");
$("facts-panel").open = wideScreen() && !isClip;
new ResizeObserver(() => redraw(true)).observe($("stage-box"));
new ResizeObserver(() => redraw()).observe($("picture-box"));
redraw(true);
