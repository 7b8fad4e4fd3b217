// Controls, and when what is drawn again.
const canvases = { stage: $("stage"), picture: $("picture"), timeline: $("timeline") };
const isClip = scene.frames.length > 1;

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
