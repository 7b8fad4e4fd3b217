// The scene as the page holds it, and its arrays as numbers.
const scene = JSON.parse(document.getElementById("scene").textContent);

// Whole multiples of a step (of 0: floats), in base64, become numbers; a missing one is NaN.
function unpack(packed) {
  if (!packed) return null;
  const letters = atob(packed.data);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  const size = packed.shape.slice(1).reduce((a, b) => a * b, 1);
  if (packed.bytes === 1) {
    const values = Float64Array.from(new Int8Array(bytes.buffer), (whole) => whole * packed.step);
    return { values, shape: packed.shape, row: (i) => values.subarray(i * size, (i + 1) * size) };
  }
  const values = new Float64Array(bytes.length / (packed.step ? 2 : 4));
  for (let i = 0; i < values.length; i++) {
    if (!packed.step) {
      values[i] = view.getFloat32(4 * i, true);
      continue;
    }
    const whole = view.getInt16(2 * i, true);
    values[i] = whole === -32768 ? NaN : whole * packed.step;
  }
  return { values, shape: packed.shape, row: (i) => values.subarray(i * size, (i + 1) * size) };
}

const JOINTS = scene.joints.length;
const BONES = scene.bones;
const tracks = scene.tracks.map((track, number) => {
  const arrays = {};
  for (const name of ["mean", "centre", "radius", "seen", "keypoints", "spread", "clusters", "shares", "ellipsoids", "samples"])
    arrays[name] = unpack(track[name]);
  return { ...track, ...arrays, number };
});
// A draw of a prior has no region but rounding: nothing is said of its radii.
const anyRegion = tracks.some((track) => track.radius.values.some((radius) => radius > 0.002));
const anyUnseen = tracks.some((track) => track.seen.values.some((seen) => !(seen > 0)));
const seenPlaces = scene.place.seen && scene.place.seen.at.map(unpack);

// Everything that the page shows changes here, and is drawn from here.
const state = {
  step: 0, person: 0, mode: "mean", regions: scene.show.regions, ellipsoids: scene.show.ellipsoids,
  place: scene.place.first, alone: false, hover: -1, pinned: -1, playing: false, speed: 1,
};
const active = () => (state.hover >= 0 ? state.hover : state.pinned);
const shown = () => (state.alone ? [tracks[state.person]] : tracks);

// What the axes along the floor are called: those of a camera, or of a world that several cameras stand in.
const AXIS = scene.world
  ? { right: `right, the world's ${scene.world[0]}`, ahead: `forward, the world's ${scene.world[2]}` }
  : { right: "x, right", ahead: "z, away from the camera" };

// A point of a pose in the result's axes, relative to its pelvis, in the scene's axes (x right, y down, z away), and its place.
function placed(x, y, z, at) {
  const t = scene.turn;
  return [
    t[0][0] * x + t[0][1] * y + t[0][2] * z + at[0],
    t[1][0] * x + t[1][1] * y + t[1][2] * z + at[1],
    t[2][0] * x + t[2][1] * y + t[2][2] * z + at[2],
  ];
}

// Where the pelvis of a row of a track stands.
function placeOf(track, row) {
  if (state.place === "seen") return seenPlaces[track.number].row(row);
  if (state.alone) return [0, 0, 0];
  return scene.place.beside.at[track.number];
}

const floorHeight = () => scene.place[state.place].floor;

// Points (n, 3) of a row as a list of places in the scene.
function pointsOf(values, at, from = 0, count = JOINTS) {
  const points = [];
  for (let j = from; j < from + count; j++) points.push(placed(values[3 * j], values[3 * j + 1], values[3 * j + 2], at));
  return points;
}

// What a joint's numbers are, as text: the same in the tip, the list and for who listens.
function numbersOf(track, row, joint) {
  const mean = track.mean.row(row);
  const radius = 1000 * track.radius.row(row)[joint];
  const metres = (v) => (Object.is(Math.round(v * 1000), -0) ? 0 : v).toFixed(3).replace("-", "−");
  const seen = track.seen.row(row)[joint] > 0;
  return {
    name: scene.joints[joint],
    seen,
    told: joint === scene.root ? (seen ? "seen" : "not seen") + " · the origin" : seen ? `seen${scene.world ? "" : " in the picture"}` : `not seen${scene.world ? "" : " in the picture"}`,
    at: `x ${metres(mean[3 * joint])}  y ${metres(mean[3 * joint + 1])}  z ${metres(mean[3 * joint + 2])} m`,
    within: !anyRegion || (joint === scene.root && radius === 0) ? "" : `${percent(scene.level)} within ${radius.toFixed(0)} mm (${scene.calibrated ? "" : "un"}calibrated)`,
    radius,
  };
}

function percent(share) {
  return `${+(100 * share).toPrecision(4)} %`;
}
