// The list of joints: who has a name, a radius and can be reached by keyboard; and what is told of the chosen one.
function buildJoints(select) {
  const list = document.getElementById("joints");
  scene.joints.forEach((name, joint) => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.dataset.joint = joint;
    button.className = scene.sides[joint];
    for (const part of ["dot", "name", "bar", "mm"]) {
      const span = document.createElement("span");
      span.className = part;
      button.append(span);
    }
    button.children[1].textContent = name;
    button.children[2].append(document.createElement("i"));
    button.addEventListener("click", () => select(joint, true));
    button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && select(joint, false));
    button.addEventListener("pointerleave", () => select(-1, false));
    button.addEventListener("focus", () => button.matches(":focus-visible") && select(joint, false));
    button.addEventListener("blur", () => select(-1, false));
    item.append(button);
    list.append(item);
  });
}

function updateJoints() {
  const track = tracks[state.person], row = track.rows[state.step];
  // bars keep their scale while the clip plays
  const widest = Math.max(...track.radius.values) || 1;
  for (const item of document.getElementById("joints").children) {
    const button = item.firstChild, joint = +button.dataset.joint, there = row >= 0;
    const told = there ? numbersOf(track, row, joint) : null;
    button.classList.toggle("unseen", there && !told.seen);
    button.classList.toggle("active", joint === active());
    button.setAttribute("aria-pressed", String(joint === state.pinned));
    button.children[2].firstChild.style.width = there ? `${(100 * track.radius.row(row)[joint]) / widest}%` : "0";
    button.children[3].textContent = !there ? "–" : joint === scene.root && told.radius === 0 ? "0" : told.radius.toFixed(0);
    button.setAttribute("aria-label", there ? sentence(told) : `${scene.joints[joint]}, not there in this frame`);
  }
  updateReadout(track, row);
}

const sentence = (told) => [told.name, told.told, told.at, told.within].filter(Boolean).join(", ");

function updateReadout(track, row) {
  const box = document.getElementById("readout"), joint = active();
  if (row < 0) return fill(box, track.label, ["not there in this frame"]);
  if (joint < 0) {
    const mean = curves[state.person][state.step];
    return fill(box, "All joints", [anyRegion && `mean radius ${mean.toFixed(0)} mm`, "point at a joint, or choose one, for its numbers"].filter(Boolean));
  }
  const told = numbersOf(track, row, joint);
  fill(box, told.name, [told.at, [told.told, told.within].filter(Boolean).join(" · ")]);
}

// A name and lines of text; what is in them is text, whatever it looks like.
function fill(box, name, lines) {
  const strong = document.createElement("strong");
  strong.textContent = name;
  box.replaceChildren(strong, ...lines.map((line) => {
    const div = document.createElement("div");
    div.textContent = line;
    return div;
  }));
}

function showTip(tip, canvas) {
  const joint = active(), track = tracks[state.person], row = track.rows[state.step];
  const own = hits.filter((hit) => hit.person === state.person), point = own.find((hit) => hit.joint === joint);
  tip.hidden = joint < 0 || row < 0 || !point;
  if (tip.hidden) return;
  const told = numbersOf(track, row, joint);
  fill(tip, (tracks.length > 1 && !state.alone ? `${track.label} · ` : "") + told.name, [told.at, told.told, told.within].filter(Boolean));
  tip.dataset.x = point.x;
  tip.dataset.y = point.y;
  const room = 14, width = canvas.clientWidth, height = canvas.clientHeight;
  // on the outer side of the body; where there is no room beside it, below
  const outer = own.map((hit) => hit.x).sort((a, b) => a - b)[own.length >> 1] > point.x ? -1 : 1;
  let x = outer < 0 ? point.x - room - tip.offsetWidth : point.x + room;
  if (x < 4 || x + tip.offsetWidth > width - 4) x = outer < 0 ? point.x + room : point.x - room - tip.offsetWidth;
  const narrow = width < 480;
  const y = narrow ? height - tip.offsetHeight - 6 : Math.min(Math.max(point.y - tip.offsetHeight / 2, 4), height - tip.offsetHeight - 4);
  if (narrow) x = 6;
  tip.style.left = `${Math.min(Math.max(x, 4), Math.max(width - tip.offsetWidth - 4, 4))}px`;
  tip.style.top = `${y}px`;
}
