// Surfaces of bodies, where the page has a rig: posed as linear blend skinning does; the mean is shaded, samples are outlines
// over it.
const rig = scene.rig && {
  weights: unpack(scene.rig.weights), corrections: unpack(scene.rig.corrections),
  faces: Int32Array.from(unpack(scene.rig.faces).values), parents: scene.rig.parents, sides: scene.rig.sides,
};
const VERTICES = rig ? rig.weights.shape[0] : 0, TURNED = rig ? rig.parents.length : 0;
const SIDES = ["middle", "left", "right"];
const SHADES = 32; // of a colour: few enough that their names are kept

if (rig) {
  // of each vertex the joints that move it, and the sides of each edge
  rig.movers = Array.from({ length: VERTICES }, (_, v) => Array.from(rig.weights.row(v)).map((w, j) => [j, w]).filter(([, w]) => w > 1e-4));
  const edges = new Map();
  for (let f = 0; f < rig.faces.length; f += 3)
    for (let i = 0; i < 3; i++) {
      const a = rig.faces[f + i], b = rig.faces[f + ((i + 1) % 3)], key = Math.min(a, b) * VERTICES + Math.max(a, b);
      if (!edges.has(key)) edges.set(key, [a, b]);
      edges.get(key).push(f / 3);
    }
  rig.edges = [...edges.values()];
  rig.faceSides = Array.from({ length: rig.faces.length / 3 }, (_, f) => rig.sides[rig.faces[3 * f]]);
}
const surfaces = tracks.map((track) => rig && track.body && {
  vertices: unpack(track.body.vertices).values, joints: unpack(track.body.joints).values, origin: unpack(track.body.origin).values,
  turns: unpack(track.body.turns), kept: new Map(),
});

function matrixOf(q, at) {
  const n = Math.hypot(q[at], q[at + 1], q[at + 2], q[at + 3]) || 1;
  const x = q[at] / n, y = q[at + 1] / n, z = q[at + 2] / n, w = q[at + 3] / n;
  return [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), 2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)];
}

function product(a, b) {
  const found = new Array(9);
  for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) found[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
  return found;
}

const along = (m, x, y, z) => [m[0] * x + m[1] * y + m[2] * z, m[3] * x + m[4] * y + m[5] * z, m[6] * x + m[7] * y + m[8] * z];

// Vertices of one body of a row (k 0: the mean), in the result's axes, from its root.
function poseBody(surface, row, k) {
  const { joints, vertices, origin } = surface, q = surface.turns.row(row), own = [], whole = [], moved = [];
  for (let j = 0; j < TURNED; j++) {
    own.push(matrixOf(q, 4 * (k * TURNED + j)));
    const p = rig.parents[j];
    whole.push(p < 0 ? own[j] : product(whole[p], own[j]));
    const step = p < 0 ? [0, 0, 0] : along(whole[p], joints[3 * j] - joints[3 * p], joints[3 * j + 1] - joints[3 * p + 1], joints[3 * j + 2] - joints[3 * p + 2]);
    moved.push(p < 0 ? step : [0, 1, 2].map((i) => moved[p][i] + step[i]));
  }
  const root = along(whole[0], origin[0] - joints[0], origin[1] - joints[1], origin[2] - joints[2]);
  const features = new Float64Array(9 * (TURNED - 1));
  for (let j = 1; j < TURNED; j++) for (let i = 0; i < 9; i++) features[9 * (j - 1) + i] = own[j][i] - (i % 4 === 0 ? 1 : 0);
  const found = new Float64Array(3 * VERTICES), ways = rig.corrections.values, count = features.length;
  for (let v = 0; v < VERTICES; v++) {
    const rest = [0, 0, 0];
    for (let i = 0; i < 3; i++) {
      let sum = vertices[3 * v + i];
      const start = (3 * v + i) * count;
      for (let f = 0; f < count; f++) sum += ways[start + f] * features[f];
      rest[i] = sum;
    }
    let total = 0;
    for (const [j, w] of rig.movers[v]) {
      const m = whole[j], x = rest[0] - joints[3 * j], y = rest[1] - joints[3 * j + 1], z = rest[2] - joints[3 * j + 2];
      found[3 * v] += w * (m[0] * x + m[1] * y + m[2] * z + moved[j][0]);
      found[3 * v + 1] += w * (m[3] * x + m[4] * y + m[5] * z + moved[j][1]);
      found[3 * v + 2] += w * (m[6] * x + m[7] * y + m[8] * z + moved[j][2]);
      total += w;
    }
    for (let i = 0; i < 3; i++) found[3 * v + i] = found[3 * v + i] / total - root[i];
  }
  return found;
}

// The same, kept while the eye turns.
function bodyAt(track, row, k) {
  const surface = surfaces[track.number], key = `${row} ${k}`;
  if (!surface.kept.has(key)) {
    if (surface.kept.size > 60) surface.kept.clear();
    surface.kept.set(key, poseBody(surface, row, k));
  }
  return surface.kept.get(key);
}

// Places on the canvas, and which triangles face the eye.
function seenSurface(values, at, project) {
  const points = [], front = new Uint8Array(rig.faces.length / 3);
  const places = pointsOf(values, at, 0, VERTICES);
  for (const place of places) points.push(project(place));
  for (let f = 0; f < front.length; f++) {
    const [a, b, c] = [0, 1, 2].map((i) => points[rig.faces[3 * f + i]]);
    front[f] = (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x) < 0;
  }
  return { places, points, front };
}

function normalsOf(places) {
  const found = new Float64Array(3 * VERTICES);
  for (let f = 0; f < rig.faces.length; f += 3) {
    const [a, b, c] = [rig.faces[f], rig.faces[f + 1], rig.faces[f + 2]], p = places[a], q = places[b], r = places[c];
    const u = [q[0] - p[0], q[1] - p[1], q[2] - p[2]], w = [r[0] - p[0], r[1] - p[1], r[2] - p[2]];
    const n = [u[1] * w[2] - u[2] * w[1], u[2] * w[0] - u[0] * w[2], u[0] * w[1] - u[1] * w[0]];
    for (const v of [a, b, c]) for (let i = 0; i < 3; i++) found[3 * v + i] += n[i];
  }
  return found;
}

function shadesOf(colour, colours) {
  const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  // lit it is nearer to white (dark colours are light already), turned away nearer to black
  const own = parts(colour), white = colours.dark ? 0.06 : 0.42, darkest = colours.dark ? 0.3 : 0.42;
  return Array.from({ length: SHADES + 1 }, (_, s) => {
    const light = darkest + (1 - darkest) * (s / SHADES), mix = own.map((c) => (c + (255 - c) * white) * light);
    return `rgb(${mix.map(Math.round).join(",")})`;
  });
}

function drawSurface(context, project, track, row, at, colours) {
  const { places, points, front } = seenSurface(bodyAt(track, row, 0), at, project), normals = normalsOf(places);
  const [right, down, ahead] = project.axes, light = [0, 1, 2].map((i) => -0.35 * right[i] - 0.5 * down[i] - 0.79 * ahead[i]);
  const shades = Object.fromEntries(SIDES.map((side) => [side, shadesOf(colours[side], colours)]));
  const order = [];
  for (let f = 0; f < front.length; f++)
    if (front[f]) order.push([f, points[rig.faces[3 * f]].depth + points[rig.faces[3 * f + 1]].depth + points[rig.faces[3 * f + 2]].depth]);
  order.sort((a, b) => b[1] - a[1]);
  context.lineWidth = 0.9;
  context.lineJoin = "round";
  for (const [f] of order) {
    const corners = [0, 1, 2].map((i) => rig.faces[3 * f + i]), n = [0, 0, 0];
    for (const v of corners) {
      const long = Math.hypot(normals[3 * v], normals[3 * v + 1], normals[3 * v + 2]) || 1;
      for (let i = 0; i < 3; i++) n[i] += normals[3 * v + i] / long;
    }
    const lit = Math.max((n[0] * light[0] + n[1] * light[1] + n[2] * light[2]) / (Math.hypot(...n) || 1), 0);
    context.fillStyle = context.strokeStyle = shades[rig.faceSides[f]][Math.round(lit * SHADES)];
    context.beginPath();
    context.moveTo(points[corners[0]].x, points[corners[0]].y);
    context.lineTo(points[corners[1]].x, points[corners[1]].y);
    context.lineTo(points[corners[2]].x, points[corners[2]].y);
    context.closePath();
    context.fill();
    context.stroke(); // no gaps between triangles
  }
}

// The samples of a body as shapes of each side: what faces the eye, and its outline.
function sampleShapes(project, track, row, at) {
  const shapes = [];
  for (let k = 1; k < surfaces[track.number].turns.shape[1]; k++) {
    const { points, front } = seenSurface(bodyAt(track, row, k), at, project);
    const own = Object.fromEntries(SIDES.map((side) => [side, { whole: new Path2D(), line: new Path2D() }]));
    for (let f = 0; f < front.length; f++) {
      if (!front[f]) continue;
      const a = points[rig.faces[3 * f]], b = points[rig.faces[3 * f + 1]], c = points[rig.faces[3 * f + 2]], { whole } = own[rig.faceSides[f]];
      whole.moveTo(a.x, a.y);
      whole.lineTo(b.x, b.y);
      whole.lineTo(c.x, c.y);
      whole.closePath();
    }
    for (const [a, b, f, g] of rig.edges) {
      if (g === undefined ? !front[f] : front[f] === front[g]) continue;
      const { line } = own[rig.faceSides[f]];
      line.moveTo(points[a].x, points[a].y);
      line.lineTo(points[b].x, points[b].y);
    }
    shapes.push(own);
  }
  return shapes;
}

// Each filled once: behind the mean so that their places are seen, over it hardly, so that its shape is, with outlines.
function drawSampleShapes(context, shapes, colours, over) {
  const count = shapes.length;
  context.lineWidth = 0.8;
  for (const own of shapes)
    for (const side of SIDES) {
      context.fillStyle = alphaOf(colours[side], over ? Math.min(0.24 / count, 0.06) : Math.min(1.2 / count, 0.2));
      context.fill(own[side].whole);
      if (!over) continue;
      context.strokeStyle = alphaOf(colours[side], Math.min(1.1 / count, 0.4));
      context.stroke(own[side].line);
    }
}

// A body has no joints to be seen: those that the picture does not show, and the chosen one.
function markJoints(context, track, row, points, colours, chosen) {
  const seen = track.seen.row(row);
  points.forEach((p, joint) => {
    if (joint === chosen || !(seen[joint] > 0)) drawJoint(context, p, colours, scene.sides[joint], seen[joint] > 0, joint === chosen);
  });
}
