// What is pressed, and when the network is asked again.
function draw() {
  drawBoard($("board"), colours);
  drawStage($("stage"), colours);
  updateTable();
  updateChosen();
}

// -- asking --------------------------------------------------------------------------------------------

let wanted = false, busy = false, lifts = 0, pace = 0;
const nextFrame = () => new Promise((done) => requestAnimationFrame(done));

// The network answers as often as it can, always for the latest keypoints; `then` is called after the last answer.
async function ask(then = () => {}) {
  wanted = true;
  if (!session) return redraw();
  ask.then = then;
  if (busy) return;
  busy = true;
  try {
    while (wanted) {
      wanted = false;
      const began = performance.now();
      await lift();
      const took = performance.now() - began;
      pace = lifts ? 0.8 * pace + 0.2 * took : took;
      $("main").dataset.lifts = ++lifts;
      draw();
      await nextFrame();
    }
  } finally {
    busy = false;
  }
  ask.then();
  tellPace();
}

// The first answers are slow: browsers compile what runs often.
const WARM = 24;

function tellPace() {
  if (lifts >= WARM) setText("status", `Ready. ${SAMPLES} hypotheses in ${Math.max(pace, 0.1).toFixed(pace < 10 ? 1 : 0)} ms, on one thread of this browser`);
}

async function warmUp() {
  while (lifts < WARM) {
    await ask();
    await nextFrame();
  }
}

function changed() {
  ask().catch(failed);
}

// After a drag: the eye finds room for what has grown.
function settled() {
  ask(() => redraw(true)).catch(failed);
}

function startFrom(number) {
  begin(number);
  press("starts", "start", "");
  [...$("starts").children].forEach((item, i) => item.firstChild.setAttribute("aria-pressed", String(i === number)));
  setText("board-title", `${starts[number].name}: keypoints, 2D`);
  $("board").setAttribute("aria-label", `Keypoints of ${starts[number].name}, ${starts[number].note}`);
  fitBoard();
  ask(() => {
    fitBoard();
    redraw(true);
  }).catch(failed);
}

function failed(error) {
  $("main").dataset.state = "failed";
  $("status").className = "wrong";
  setText("status", `Nothing can be dragged here: ${error.message}`);
}

// -- joints --------------------------------------------------------------------------------------------

function choose(joint) {
  state.pinned = joint;
  redraw();
}

function hover(joint) {
  if (state.hover === joint) return;
  state.hover = joint;
  redraw();
}

function toggleSeen(joint) {
  show(joint, !isSeen(joint));
  settled();
}

function changeSigma(joint, sigma) {
  given.sigma[joint] = sigma;
  changed();
}

function watchNumbers() {
  for (const [id, i] of [["x", 0], ["y", 1]])
    $(id).addEventListener("input", () => {
      const value = Number.parseFloat($(id).value);
      if (!Number.isFinite(value)) return;
      const joint = state.pinned, place = isSeen(joint) ? [given.xy[2 * joint], given.xy[2 * joint + 1]] : overlay()(joint);
      place[i] = value;
      move(joint, ...place);
      changed();
    });
  $("sigma").addEventListener("input", () => changeSigma(state.pinned, sigmaOf(+$("sigma").value)));
  $("everywhere").addEventListener("click", () => {
    given.sigma.fill(given.sigma[state.pinned]);
    settled();
  });
  $("hide").addEventListener("click", () => toggleSeen(state.pinned));
  const tall = () => {
    given.height = $("height-known").checked ? +$("height").value : NaN;
    changed();
  };
  $("height-known").addEventListener("change", tall);
  $("height").addEventListener("input", tall);
  $("reset").addEventListener("click", () => {
    given.height = NaN;
    $("height-known").checked = false;
    startFrom(given.start);
  });
  $("file-panel").addEventListener("toggle", () => ($("file").value = asFile()));
}

// -- the stage -----------------------------------------------------------------------------------------

function watchStage(canvas) {
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse" || event.buttons) return;
    const hit = nearest(hits, event, 16);
    canvas.classList.toggle("over", !!hit);
    hover(hit ? hit.joint : -1);
  });
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("click", (event) => {
    const hit = canvas.dataset.dragged === "yes" ? null : nearest(hits, event, 22);
    if (hit) choose(hit.joint);
  });
  watchEye(canvas);
}

function buildLegend() {
  const list = $("legend");
  list.replaceChildren();
  mark(list, "solid", "left", "person's left");
  mark(list, "solid", "right", "person's right");
  mark(list, "solid", "middle", "middle");
  mark(list, "dashed", "middle", "hidden (hollow, dashed)");
  if (state.regions) mark(list, "ball", "middle", `shaded: ${scene.regionLabel}; outline: above ${FILLED} m`);
  if (state.mode === "samples") mark(list, "thin", "middle", `thin: ${play.drawn.length} of ${SAMPLES} hypotheses; thick: their mean`);
  const item = document.createElement("li");
  item.className = "soft";
  item.textContent = "floor grid in metres, from the pelvis";
  list.append(item);
}

// A start as a small figure: its seen bones.
function figure(start) {
  const name = "http://www.w3.org/2000/svg", svg = document.createElementNS(name, "svg");
  const seen = [...Array(JOINTS).keys()].filter((j) => start.visible[j]);
  const [xs, ys] = [0, 1].map((i) => seen.map((j) => start.xy[2 * j + i]));
  const side = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
  const [x, y] = [xs, ys].map((v) => (Math.min(...v) + Math.max(...v)) / 2);
  svg.setAttribute("viewBox", `${x - 0.56 * side} ${y - 0.56 * side} ${1.12 * side} ${1.12 * side}`);
  svg.setAttribute("aria-hidden", "true");
  for (const [child, parent] of BONES) {
    if (!start.visible[child] || !start.visible[parent]) continue;
    const bone = document.createElementNS(name, "path");
    bone.setAttribute("d", `M${start.xy[2 * child]} ${start.xy[2 * child + 1]}L${start.xy[2 * parent]} ${start.xy[2 * parent + 1]}`);
    bone.setAttribute("stroke-width", 0.055 * side);
    bone.setAttribute("class", scene.sides[child]);
    svg.append(bone);
  }
  return svg;
}

function buildStarts() {
  starts.forEach((start, number) => {
    const item = document.createElement("li"), button = document.createElement("button"), name = document.createElement("span");
    button.type = "button";
    button.title = start.note;
    name.textContent = start.name;
    button.append(figure(start), name);
    button.addEventListener("click", () => startFrom(number));
    item.append(button);
    $("starts").append(item);
  });
}

function buildFacts() {
  for (const [name, text] of [...play.facts]) {
    const row = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = text;
    row.append(dt, dd);
    $("facts").append(row);
  }
}

function setMode(mode) {
  state.mode = mode;
  press("modes", "mode", mode);
  buildLegend();
  redraw();
}

begin(0);
state.pinned = Math.max(play.names.indexOf("right_wrist"), 0);
state.mode = "samples";
setText("regions", `${percent(scene.level)} regions`);
setText("radius-head", `${percent(scene.level)} radius, cm`);
buildTable();
buildStarts();
buildFacts();
$("facts-panel").open = wideScreen();
buildLegend();
watchTheme();
watchBoard($("board"));
watchStage($("stage"));
watchNumbers();
for (const button of $("modes").children) button.addEventListener("click", () => setMode(button.dataset.mode));
for (const button of $("views").children)
  button.addEventListener("click", () => {
    press("views", "view", button.dataset.view);
    lookFrom(button.dataset.view, redraw);
  });
$("regions").addEventListener("click", () => {
  state.regions = !state.regions;
  $("regions").setAttribute("aria-pressed", String(state.regions));
  buildLegend();
  redraw(true);
});
$("closer").addEventListener("click", () => zoom(1.2));
$("farther").addEventListener("click", () => zoom(1 / 1.2));
new ResizeObserver(() => redraw(true)).observe($("stage-box"));
new ResizeObserver(() => redraw()).observe($("board-box"));
startFrom(0); // drawn at once: what the network says of it stands in the page
document.addEventListener("DOMContentLoaded", async () => {
  await nextFrame();
  try {
    await startNetwork();
    await ask(() => {
      fitBoard();
      redraw(true);
    });
    $("main").dataset.state = "ready";
    setText("status", "Ready: drag a joint.");
    await warmUp();
  } catch (error) {
    failed(error);
  }
});
