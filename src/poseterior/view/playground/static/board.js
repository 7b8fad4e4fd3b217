// The picture: keypoints that are dragged. What is hidden is drawn where the mean pose has it, hollow and dashed.
const box = { left: 0, top: 0, right: 1, bottom: 1 };
const spots = []; // places of joints on the canvas, for the pointer

// The part of the picture that is shown: everything that is drawn in it, with room to drag.
function fitBoard() {
  const place = overlay();
  const points = [...Array(JOINTS).keys()].map((j) => (isSeen(j) ? [given.xy[2 * j], given.xy[2 * j + 1]] : place(j)));
  const [xs, ys] = [0, 1].map((i) => points.map((p) => p[i]));
  const room = 0.14 * Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys), 10);
  Object.assign(box, { left: Math.min(...xs) - room, right: Math.max(...xs) + room, top: Math.min(...ys) - room, bottom: Math.max(...ys) + room });
}

// px of the picture -> px of the canvas, and back.
function frame(canvas) {
  const scale = Math.min(canvas.clientWidth / (box.right - box.left), canvas.clientHeight / (box.bottom - box.top));
  const x0 = canvas.clientWidth / 2 - (scale * (box.left + box.right)) / 2, y0 = canvas.clientHeight / 2 - (scale * (box.top + box.bottom)) / 2;
  return { scale, to: (x, y) => [x0 + scale * x, y0 + scale * y], from: (x, y) => [(x - x0) / scale, (y - y0) / scale] };
}

function drawBoard(canvas, colours) {
  const context = canvas.getContext("2d"), { scale, to } = frame(canvas), photo = photos[given.start];
  sharpen(canvas, context);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  const [left, top] = to(0, 0), [wide, high] = given.size.map((side) => side * scale);
  const onPhoto = photo && photo.complete && photo.naturalWidth > 0;
  if (onPhoto) context.drawImage(photo, left, top, wide, high);
  context.strokeStyle = colours.edge;
  context.lineWidth = 1;
  context.strokeRect(left + 0.5, top + 0.5, wide, high);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = colours.soft;
  if (!onPhoto) context.fillText(`picture, ${given.size.join(" × ")} px`, Math.max(left, 0) + 7, Math.min(top + high, canvas.clientHeight) - 7);
  drawGuesses(context, scale, to, colours);
  const place = overlay(), rim = !onPhoto ? colours.ground : colours.dark ? "rgba(12,16,22,.9)" : "rgba(255,255,255,.92)";
  const points = [];
  for (let j = 0; j < JOINTS; j++) points.push(to(...(isSeen(j) ? [given.xy[2 * j], given.xy[2 * j + 1]] : place(j))));
  points.forEach((p, j) => isSeen(j) && drawSpread(context, p, [given.sigma[j], 0, given.sigma[j]], scale, colours[scene.sides[j]]));
  drawFlatBones(context, points, colours, rim, isSeen);
  spots.length = 0;
  points.forEach((p, j) => {
    spots.push({ x: p[0], y: p[1], joint: j });
    drawHandle(context, p, j, colours, rim);
  });
}

function drawHandle(context, [x, y], joint, colours, rim) {
  const chosen = joint === state.pinned, near = joint === state.hover, seen = isSeen(joint);
  context.beginPath();
  context.arc(x, y, chosen || near ? 7.5 : 6, 0, 2 * Math.PI);
  context.fillStyle = seen ? colours[scene.sides[joint]] : colours.ground;
  context.fill();
  context.lineWidth = seen ? 1.8 : 2.2;
  context.strokeStyle = seen ? rim : colours[scene.sides[joint]];
  context.stroke();
  if (!chosen && !near) return;
  context.beginPath();
  context.arc(x, y, 11.5, 0, 2 * Math.PI);
  context.strokeStyle = colours.accent;
  context.lineWidth = chosen ? 2.6 : 1.4;
  context.stroke();
}

// Hidden joints with their regions, as large as the mean pose is over the picture.
function drawGuesses(context, scale, to, colours) {
  if (!state.regions) return;
  const place = overlay(), radius = track.radius.row(0);
  for (let j = 0; j < JOINTS; j++) {
    if (isSeen(j) || !(radius[j] > 0)) continue;
    const [x, y] = to(...place(j));
    context.beginPath();
    context.arc(x, y, radius[j] * place.scale * scale, 0, 2 * Math.PI);
    context.fillStyle = alphaOf(colours[scene.sides[j]], radius[j] > FILLED ? 0 : 0.1);
    context.fill();
    context.strokeStyle = alphaOf(colours[scene.sides[j]], 0.35);
    context.lineWidth = 1;
    context.stroke();
  }
}

const photos = starts.map((start) => {
  if (!start.photo) return null;
  const image = new Image();
  image.onload = () => redraw();
  image.src = start.photo;
  return image;
});

// -- pointer and keys ----------------------------------------------------------------------------------

function watchBoard(canvas) {
  let held = -1, offset = [0, 0], moved = false, last = { joint: -1, time: -1e9 };
  const at = (event) => {
    const edge = canvas.getBoundingClientRect();
    return [event.clientX - edge.left, event.clientY - edge.top];
  };
  // a finger on a joint drags it, elsewhere it scrolls the page
  canvas.addEventListener("touchstart", (event) => nearest(spots, asPointer(event), 26) && event.preventDefault(), { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    const hit = nearest(spots, event, event.pointerType === "mouse" ? 18 : 26);
    if (!hit) return;
    const [x, y] = at(event);
    held = hit.joint;
    offset = [hit.x - x, hit.y - y];
    moved = false;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    choose(held);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (held < 0) {
      const hit = event.pointerType === "mouse" ? nearest(spots, event, 18) : null;
      canvas.classList.toggle("over", !!hit);
      return hover(hit ? hit.joint : -1);
    }
    const [x, y] = at(event), spot = spots[held];
    if (!moved && Math.hypot(x + offset[0] - spot.x, y + offset[1] - spot.y) < 3) return;
    moved = true;
    canvas.classList.add("turning");
    move(held, ...frame(canvas).from(x + offset[0], y + offset[1]));
    changed();
  });
  const end = (event) => {
    if (held < 0) return;
    const twice = !moved && held === last.joint && event.timeStamp - last.time < 420;
    if (twice) toggleSeen(held);
    last = moved || twice ? { joint: -1, time: -1e9 } : { joint: held, time: event.timeStamp };
    held = -1;
    canvas.classList.remove("turning");
    if (moved) settled();
  };
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, end);
  canvas.addEventListener("pointerleave", () => held < 0 && hover(-1));
  canvas.addEventListener("keydown", (event) => boardKey(event));
}

const asPointer = (event) => ({ target: event.target, clientX: event.touches[0].clientX, clientY: event.touches[0].clientY });

function boardKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const joint = state.pinned, far = event.shiftKey ? 10 : 1;
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const [x, y] = isSeen(joint) ? [given.xy[2 * joint], given.xy[2 * joint + 1]] : overlay()(joint);
  if (step) {
    move(joint, x + far * step[0], y + far * step[1]);
    changed();
  } else if (event.key === "PageDown" || event.key === "PageUp") choose((joint + (event.key === "PageDown" ? 1 : JOINTS - 1)) % JOINTS);
  else if (event.key === "h" || event.key === "H" || event.key === "Delete") toggleSeen(joint);
  else if (["+", "=", "-"].includes(event.key)) changeSigma(joint, sigmaOf(sliderOf(given.sigma[joint]) + (event.key === "-" ? -0.03 : 0.03)));
  else return;
  event.preventDefault();
}
