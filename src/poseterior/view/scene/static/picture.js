// The photograph or the film's frame, cut to the person, with the keypoints of that very frame.
const images = new Map(); // track number -> [{step, box, image}]

function loadImages(redraw) {
  for (const track of tracks) {
    images.set(track.number, track.picture.images.map((entry) => {
      const image = new Image();
      image.onload = redraw;
      image.src = entry.src;
      return { ...entry, image };
    }));
  }
}

// What to show at the step: the last frame with a picture that is not after it; keypoints alone where there are none.
function pictureAt(track, step) {
  const found = images.get(track.number);
  if (!found.length) {
    const boxes = track.picture.boxes, row = Math.max(track.rows[step], 0);
    return { box: boxes ? boxes[row] : track.picture.box, step, image: null };
  }
  let best = found[0];
  for (const entry of found) if (entry.step <= step) best = entry;
  // one picture is behind all steps; of a film the keypoints are those of the frame that is shown
  return { box: best.box, step: found.length === 1 ? step : best.step, image: best.image };
}

const hasPicture = () =>
  scene.show.keypoints && tracks.some((track) => track.picture.images.length || track.keypoints.values.some(Number.isFinite));

const spots = []; // places of keypoints on the canvas, for the pointer

function drawPicture(canvas, box, colours) {
  const track = tracks[state.person], shownAt = pictureAt(track, state.step);
  const [left, top, right, bottom] = shownAt.box;
  const wide = Math.max(right - left, 1), high = Math.max(bottom - top, 1);
  // beside the stage it leaves room for the text below, elsewhere for what stands above and below on the screen
  const room = wideScreen() ? Math.max(innerHeight - (isClip ? 380 : 240), 240) : Math.min(innerHeight * 0.7, 620);
  const scale = Math.max(Math.min(box.clientWidth / wide, room / high), 0.01);
  canvas.style.width = `${Math.floor(wide * scale)}px`;
  canvas.style.height = `${Math.floor(high * scale)}px`;
  canvas.style.margin = "0 auto";
  const context = canvas.getContext("2d");
  sharpen(canvas, context);
  context.fillStyle = colours.ground;
  context.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  if (shownAt.image && shownAt.image.complete && shownAt.image.naturalWidth)
    context.drawImage(shownAt.image, 0, 0, wide * scale, high * scale);
  spots.length = 0;
  const row = track.rows[shownAt.step];
  if (row >= 0) drawKeypoints(context, track, row, (x, y) => [(x - left) * scale, (y - top) * scale], scale, colours, !!shownAt.image);
  tellPicture(track, shownAt, row);
}

function drawKeypoints(context, track, row, at, scale, colours, onPhoto) {
  const xy = track.keypoints.row(row), spread = track.spread.row(row), chosen = active();
  const rim = !onPhoto ? colours.ground : colours.dark ? "rgba(12,16,22,.9)" : "rgba(255,255,255,.92)";
  const points = [];
  for (let j = 0; j < JOINTS; j++) points.push(Number.isFinite(xy[2 * j]) ? at(xy[2 * j], xy[2 * j + 1]) : null);
  points.forEach((p, j) => p && drawSpread(context, p, spread.subarray(3 * j, 3 * j + 3), scale, colours[scene.sides[j]]));
  drawFlatBones(context, points, colours, rim);
  points.forEach((p, j) => {
    if (!p) return;
    spots.push({ x: p[0], y: p[1], joint: j, person: track.number });
    context.beginPath();
    context.arc(p[0], p[1], j === chosen ? 6 : 4, 0, 2 * Math.PI);
    context.fillStyle = colours[scene.sides[j]];
    context.fill();
    context.strokeStyle = rim;
    context.lineWidth = 1.5;
    context.stroke();
    if (j !== chosen) return;
    context.beginPath();
    context.arc(p[0], p[1], 10, 0, 2 * Math.PI);
    context.strokeStyle = onPhoto ? "#ffffff" : colours.accent;
    context.lineWidth = 4;
    context.stroke();
    context.strokeStyle = colours.accent;
    context.lineWidth = 2;
    context.stroke();
  });
}

function tellPicture(track, shownAt, row) {
  const missing = [];
  if (row >= 0) track.seen.row(row).forEach((seen, j) => seen > 0 || missing.push(scene.joints[j]));
  const several = scene.people.of > 1 && track.label.startsWith(track.file);
  const frame = track.still ? "" : `frame ${scene.frames[shownAt.step]} · `;
  const unseen = !missing.length ? "all joints seen" : missing.length > 5 ? `${missing.length} joints not seen` : `not seen: ${missing.join(", ")}`;
  const text = row < 0 ? "not there in this frame" : `${several ? `${track.file} · ` : ""}${frame}keypoints with their 1σ · ${unseen}`;
  setText("picture-title", track.picture.images.length ? (track.still ? "Photograph" : "Film") : scene.keypointsOf ? `Keypoints of ${scene.keypointsOf}` : "Keypoints");
  setText("picture-text", text);
}
