// The list of joints with their numbers, and the panel of the chosen one.
// What stands there already is not written again: the page is laid out anew for each.
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const tell = (element, name, value) => { if (element.getAttribute(name) !== value) element.setAttribute(name, value); };
const centimetres = (metres) => (100 * metres).toFixed(1);
const distance = (joint) => Math.hypot(...track.mean.row(0).subarray(3 * joint, 3 * joint + 3));

function buildTable() {
  scene.joints.forEach((name, joint) => {
    const item = document.createElement("li"), pick = document.createElement("button"), eye = document.createElement("button");
    item.className = scene.sides[joint];
    pick.type = eye.type = "button";
    pick.className = "pick";
    eye.className = "eye";
    for (const part of ["dot", "name", "px", "far", "within"]) {
      const span = document.createElement("span");
      span.className = part;
      pick.append(span);
    }
    pick.children[1].textContent = name;
    pick.addEventListener("click", () => choose(joint));
    pick.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && hover(joint));
    pick.addEventListener("pointerleave", () => hover(-1));
    eye.addEventListener("click", () => {
      choose(joint);
      toggleSeen(joint);
    });
    eye.append(eyeIcon());
    item.append(pick, eye);
    $("joints").append(item);
  });
}

// An open eye; struck through where the joint is hidden.
function eyeIcon() {
  const name = "http://www.w3.org/2000/svg", svg = document.createElementNS(name, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  for (const [kind, d] of [["lid", "M2 10q8-11 16 0q-8 11-16 0z"], ["pupil", "M10 7.6a2.4 2.4 0 1 0 .01 0z"], ["slash", "M4 16.5 16 3.5"]]) {
    const path = document.createElementNS(name, "path");
    path.setAttribute("d", d);
    path.setAttribute("class", kind);
    svg.append(path);
  }
  return svg;
}

function updateTable() {
  const radius = track.radius.row(0);
  [...$("joints").children].forEach((item, joint) => {
    const [pick, eye] = item.children, seen = isSeen(joint), root = joint === scene.root;
    item.classList.toggle("unseen", !seen);
    item.classList.toggle("active", joint === state.hover);
    const numbers = [seen ? given.sigma[joint].toFixed(1) : "–", root ? "0" : centimetres(distance(joint)), root ? "0" : centimetres(radius[joint])];
    numbers.forEach((text, i) => write(pick.children[i + 2], text));
    tell(pick, "aria-pressed", String(joint === state.pinned));
    tell(pick, "aria-label", `${scene.joints[joint]}: ${seen ? `σ ${numbers[0]} px` : "hidden"}, ${numbers[1]} cm from the pelvis, ${percent(scene.level)} within ${numbers[2]} cm`);
    tell(eye, "aria-pressed", String(seen));
    tell(eye, "aria-label", `${scene.joints[joint]} is ${seen ? "seen: hide it" : "hidden: show it"}`);
    tell(eye, "title", seen ? "Hide this joint" : "Show this joint");
  });
  const hidden = given.visible.filter((seen) => !(seen > 0)).length;
  setText("joints-note", hidden ? `${JOINTS - hidden} of ${JOINTS} seen` : "all seen");
}

function updateChosen() {
  const joint = state.pinned, told = numbersOf(track, 0, joint), seen = isSeen(joint);
  setText("chosen-name", told.name);
  $("chosen-name").className = scene.sides[joint];
  setText("hide", seen ? "Hide" : "Show");
  const within = joint === scene.root ? "the origin of all places" : `${percent(scene.level)} within ${centimetres(track.radius.row(0)[joint])} cm of the centre`;
  setText("place", told.at);
  setText("within", within);
  for (const [id, i] of [["x", 0], ["y", 1]]) {
    if (document.activeElement !== $(id)) $(id).value = seen ? given.xy[2 * joint + i].toFixed(1) : "";
    $(id).placeholder = "hidden";
  }
  $("sigma").value = sliderOf(given.sigma[joint]);
  $("sigma").disabled = $("everywhere").disabled = !seen;
  $("sigma").setAttribute("aria-valuetext", `${given.sigma[joint].toFixed(1)} px`);
  setText("sigma-text", seen ? `${given.sigma[joint].toFixed(1)} px` : "hidden: no matter");
  const known = Number.isFinite(given.height);
  $("height").disabled = !known;
  setText("height-text", known ? `${given.height.toFixed(2)} m` : "not known");
  if ($("file-panel").open) $("file").value = asFile();
}
