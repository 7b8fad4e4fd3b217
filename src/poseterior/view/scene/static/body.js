// Bodies in 3D: samples and clusters thin, the mean strong, regions shaded; what the picture does not show is hollow.
const LIMB = 0.03, JOINT = 0.034;
const FILLED = 0.35; // metres: larger balls are outlines, as a dozen of them would hide the person
const hits = []; // places of joints on the canvas, for the pointer

function strokeBones(context, points, colours, width, alpha) {
  // one path for each side: hundreds of samples are few strokes
  context.globalAlpha = alpha;
  context.lineWidth = width;
  context.lineCap = "round";
  for (const side of ["middle", "left", "right"]) {
    context.strokeStyle = colours[side];
    context.beginPath();
    for (const [child, parent] of BONES) {
      if (scene.sides[child] !== side) continue;
      const p = points[parent], q = points[child];
      context.moveTo(p.x, p.y);
      context.lineTo(q.x, q.y);
    }
    context.stroke();
  }
  context.globalAlpha = 1;
}

function drawSamples(context, project, track, row, at, colours) {
  const count = track.samples.shape[1];
  if (!count) return;
  const values = track.samples.row(row);
  const alpha = Math.min(Math.max(6 / count, 0.06), 0.3);
  for (let k = 0; k < count; k++) strokeBones(context, pointsOf(values, at, k * JOINTS).map(project), colours, 1.1, alpha);
}

function drawClusters(context, project, track, row, at, colours) {
  if (!track.clusters) return;
  const values = track.clusters.row(row), shares = track.shares.row(row);
  const labels = [];
  for (let k = 0; k < shares.length; k++) {
    if (!(shares[k] > 0)) continue;
    const points = pointsOf(values, at, k * JOINTS).map(project);
    strokeBones(context, points, colours, 2.4, 0.35 + 0.5 * shares[k]);
    // each is named where it is farthest from the others
    labels.push({ points, text: `${"ABC"[k] || k + 1}  ${Math.round(100 * shares[k])} %` });
  }
  return () => labelClusters(context, labels, colours);
}

function labelClusters(context, labels, colours) {
  const taken = [];
  for (const label of labels) {
    const others = labels.filter((other) => other !== label);
    let best = label.points[0], most = -1;
    label.points.forEach((p, j) => {
      const far = others.length ? Math.min(...others.map((o) => Math.hypot(o.points[j].x - p.x, o.points[j].y - p.y))) : -p.y;
      if (far > most) [most, best] = [far, p];
    });
    context.font = "600 11.5px system-ui, sans-serif";
    const width = context.measureText(label.text).width + 12;
    let x = Math.min(Math.max(best.x - width / 2, 4), context.canvas.clientWidth - width - 4), y = best.y - 26;
    while (taken.some((t) => Math.abs(t.y - y) < 21 && x < t.x + t.width && t.x < x + width)) y -= 21;
    y = Math.max(y, 4);
    taken.push({ x, y, width });
    context.strokeStyle = colours.soft;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(best.x, best.y);
    context.lineTo(x + width / 2, y + 19);
    context.stroke();
    context.fillStyle = colours.card;
    context.strokeStyle = colours.soft;
    context.lineWidth = 1;
    context.beginPath();
    context.roundRect(x, y, width, 19, 6);
    context.fill();
    context.stroke();
    context.fillStyle = colours.ink;
    context.fillText(label.text, x + 6, y + 13.5);
  }
}

// A ball in perspective, nearly a circle: darker towards its rim, as a thin shell is.
function drawRegions(context, project, track, row, at, colours, chosen) {
  const radius = track.radius.row(row);
  const balls = pointsOf(track.centre.row(row), at).map((point, joint) => ({ ...project(point), joint, radius: radius[joint] }));
  balls.sort((a, b) => b.depth - a.depth);
  for (const ball of balls) {
    if (!(ball.radius > 0)) continue;
    const r = ball.radius * ball.scale, colour = colours[scene.sides[ball.joint]], strong = ball.joint === chosen;
    // wide ones are paler, so that many of them do not hide what is inside
    const pale = strong ? 1 : Math.min(Math.max(0.16 / ball.radius, 0.3), 1);
    const shade = context.createRadialGradient(ball.x, ball.y, 0, ball.x, ball.y, r);
    shade.addColorStop(0, alphaOf(colour, strong ? 0.2 : 0.08 * pale));
    shade.addColorStop(0.8, alphaOf(colour, strong ? 0.3 : 0.13 * pale));
    shade.addColorStop(1, alphaOf(colour, strong ? 0.42 : 0.22 * pale));
    context.fillStyle = shade;
    context.strokeStyle = alphaOf(colour, strong ? 1 : ball.radius > FILLED ? 0.6 : 0.2 + 0.35 * pale);
    context.lineWidth = strong ? 2 : 0.9;
    context.beginPath();
    context.arc(ball.x, ball.y, r, 0, 2 * Math.PI);
    if (strong || ball.radius <= FILLED) context.fill();
    context.stroke();
  }
}

function alphaOf(colour, alpha) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

// The outline of an ellipsoid is that of the covariance seen from the eye.
function drawEllipsoids(context, project, track, row, at, colours) {
  if (!track.ellipsoids) return;
  const factors = track.ellipsoids.row(row), t = scene.turn, [right, down] = project.axes;
  pointsOf(track.mean.row(row), at).map(project).forEach((p, joint) => {
    const [a, b, c, d, e, f] = factors.subarray(6 * joint, 6 * joint + 6);
    const columns = [[a, b, d], [0, c, e], [0, 0, f]].map((column) => t.map((line) => line[0] * column[0] + line[1] * column[1] + line[2] * column[2]));
    const seen = columns.map((v) => [right, down].map((axis) => axis[0] * v[0] + axis[1] * v[1] + axis[2] * v[2]));
    const xx = seen.reduce((s, v) => s + v[0] * v[0], 0), xy = seen.reduce((s, v) => s + v[0] * v[1], 0), yy = seen.reduce((s, v) => s + v[1] * v[1], 0);
    if (!(xx + yy > 0)) return;
    const mid = (xx + yy) / 2, off = Math.hypot((xx - yy) / 2, xy);
    context.beginPath();
    context.ellipse(p.x, p.y, Math.sqrt(mid + off) * p.scale, Math.sqrt(Math.max(mid - off, 0)) * p.scale, Math.atan2(2 * xy, xx - yy) / 2, 0, 2 * Math.PI);
    context.strokeStyle = colours[scene.sides[joint]];
    context.lineWidth = 1.2;
    context.setLineDash([4, 3]);
    context.stroke();
    context.setLineDash([]);
  });
}

function drawShadow(context, project, points, floor, colours, chosen) {
  const flat = points.map((p) => project([p[0], floor, p[2]]));
  context.strokeStyle = colours.ink;
  context.globalAlpha = 0.12;
  context.lineCap = "round";
  context.lineJoin = "round";
  context.lineWidth = Math.max(LIMB * 1.5 * flat[0].scale, 3);
  context.beginPath();
  for (const [child, parent] of BONES) {
    context.moveTo(flat[parent].x, flat[parent].y);
    context.lineTo(flat[child].x, flat[child].y);
  }
  context.stroke();
  context.globalAlpha = 1;
  if (!chosen) return;
  const middle = points[Math.max(scene.root, 0)];
  context.strokeStyle = colours.accent;
  context.lineWidth = 2;
  context.beginPath();
  for (let i = 0; i <= 48; i++) {
    const angle = (i / 48) * 2 * Math.PI, p = project([middle[0] + 0.42 * Math.cos(angle), floor, middle[2] + 0.42 * Math.sin(angle)]);
    context[i ? "lineTo" : "moveTo"](p.x, p.y);
  }
  context.stroke();
}

function drawMean(context, track, row, points, colours, chosen) {
  const seen = track.seen.row(row);
  const parts = BONES.map(([child, parent]) => ({ child, parent, depth: (points[child].depth + points[parent].depth) / 2 }));
  points.forEach((p, joint) => parts.push({ joint, depth: p.depth - 0.02 }));
  parts.sort((a, b) => b.depth - a.depth);
  for (const part of parts) {
    if (part.joint === undefined) drawLimb(context, points[part.parent], points[part.child], colours, scene.sides[part.child], seen[part.child] > 0 && seen[part.parent] > 0);
    else drawJoint(context, points[part.joint], colours, scene.sides[part.joint], seen[part.joint] > 0, part.joint === chosen);
  }
}

function drawLimb(context, p, q, colours, side, seen) {
  const width = Math.max(((p.scale + q.scale) / 2) * LIMB, 2.6);
  const line = (colour, thick, alpha, dash) => {
    context.strokeStyle = colour;
    context.globalAlpha = alpha;
    context.lineWidth = thick;
    context.lineCap = dash ? "butt" : "round";
    context.setLineDash(dash || []);
    context.beginPath();
    context.moveTo(p.x, p.y);
    context.lineTo(q.x, q.y);
    context.stroke();
  };
  line(colours.ground, width + 2.4, 0.95); // a rim tells which of two crossing limbs is in front
  if (seen) line(colours[side], width, 1);
  else {
    line(colours[side], width, 0.25);
    line(colours[side], width * 0.6, 0.95, [Math.max(width * 0.8, 4), Math.max(width * 0.8, 4)]);
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
}

function drawJoint(context, p, colours, side, seen, strong) {
  const r = Math.max((p.scale * JOINT) / 1.55, 2.6) * (strong ? 1.35 : 1);
  context.beginPath();
  context.arc(p.x, p.y, r, 0, 2 * Math.PI);
  context.fillStyle = seen ? colours[side] : colours.ground;
  context.fill();
  context.lineWidth = seen ? 1.4 : Math.max(r * 0.4, 1.6);
  context.strokeStyle = seen ? colours.ground : colours[side];
  context.stroke();
  if (!strong) return;
  context.beginPath();
  context.arc(p.x, p.y, r + 4.5, 0, 2 * Math.PI);
  context.strokeStyle = colours.accent;
  context.lineWidth = 2.2;
  context.stroke();
}

function drawStage(canvas, colours) {
  const context = canvas.getContext("2d"), width = canvas.clientWidth, height = canvas.clientHeight;
  sharpen(canvas, context);
  context.clearRect(0, 0, width, height);
  const project = projection(width, height, true);
  drawFloor(context, project, colours);
  hits.length = 0;
  const later = [];
  const there = shown().map((track) => ({ track, row: track.rows[state.step] })).filter(({ row }) => row >= 0);
  const bodies = there.map(({ track, row }) => {
    const at = placeOf(track, row), points = pointsOf(track.mean.row(row), at);
    return { track, row, at, points, flat: points.map(project) };
  });
  bodies.sort((a, b) => b.flat[Math.max(scene.root, 0)].depth - a.flat[Math.max(scene.root, 0)].depth);
  for (const { track, points } of bodies) drawShadow(context, project, points, floorHeight(), colours, bodies.length > 1 && track.number === state.person);
  for (const { track, row, at, flat } of bodies) {
    const chosen = track.number === state.person ? active() : -1;
    const solid = state.mode === "bodies" && surfaces[track.number];
    const others = solid ? sampleShapes(project, track, row, at) : [];
    if (solid) {
      drawSampleShapes(context, others, colours, false);
      drawSurface(context, project, track, row, at, colours);
    }
    if (state.regions) drawRegions(context, project, track, row, at, colours, chosen);
    if (solid) drawSampleShapes(context, others, colours, true);
    if (state.mode === "samples") drawSamples(context, project, track, row, at, colours);
    if (state.mode === "clusters") later.push(drawClusters(context, project, track, row, at, colours));
    if (state.ellipsoids) drawEllipsoids(context, project, track, row, at, colours);
    if (solid) markJoints(context, track, row, flat, colours, chosen);
    else if (scene.show.mean) drawMean(context, track, row, flat, colours, chosen);
    flat.forEach((p, joint) => hits.push({ x: p.x, y: p.y, depth: p.depth, joint, person: track.number }));
  }
  if (state.mode === "clusters") later.forEach((draw) => draw && draw());
  if (tracks.length > 1 && !state.alone) nameBodies(context, bodies, colours, width);
  if (!there.length) {
    context.font = "15px system-ui, sans-serif";
    context.fillStyle = colours.soft;
    context.textAlign = "center";
    context.fillText("nobody is there in this frame", width / 2, height / 2);
    context.textAlign = "left";
  }
}

// Names above the heads; where there is no room, only the chosen person's.
function nameBodies(context, bodies, colours, width) {
  const taken = [];
  const order = [...bodies].sort((a, b) => (b.track.number === state.person) - (a.track.number === state.person));
  for (const { track, flat } of order) {
    const chosen = track.number === state.person;
    context.font = `${chosen ? "600 " : ""}12px system-ui, sans-serif`;
    const long = context.measureText(track.label).width;
    const text = long < width - 16 ? track.label : `person ${track.person}`, wide = context.measureText(text).width;
    const x = Math.min(Math.max((Math.min(...flat.map((p) => p.x)) + Math.max(...flat.map((p) => p.x))) / 2 - wide / 2, 6), width - wide - 6);
    const above = Math.max(Math.min(...flat.map((p) => p.y)) - 16, 54);
    // nobody goes without a name: where another is in the way, the next free line above or below it
    const free = (y) => y >= 16 && !taken.some((t) => x < t.x + t.wide + 8 && t.x < x + wide + 8 && Math.abs(t.y - y) < 18);
    let y = above;
    for (let line = 1; !free(y) && line < 40; line++) y = above + 18 * (line % 2 ? -1 : 1) * Math.ceil(line / 2);
    taken.push({ x, y, wide });
    context.fillStyle = alphaOf(colours.ground, 0.8);
    context.fillRect(x - 4, y - 12, wide + 8, 17);
    context.fillStyle = chosen ? colours.accent : colours.ink;
    context.fillText(text, x, y);
  }
}
