// The eye: it goes around a point, and sees in perspective. Angles in degrees, lengths in metres.
const FIELD = (28 * Math.PI) / 180;
const VIEWS = {
  turned: { yaw: tracks.length > 1 ? 10 : 28, pitch: 11 },
  front: { yaw: 0, pitch: 2 },
  side: { yaw: 90, pitch: 4 },
  top: { yaw: 0, pitch: 89.9 },
};
const eye = { ...VIEWS.turned, distance: 4, zoom: 1, target: [0, 0, 0], view: "turned" };

// Axes of the eye in the scene: right, down and ahead.
function eyeAxes() {
  const yaw = (eye.yaw * Math.PI) / 180, pitch = (eye.pitch * Math.PI) / 180;
  const ahead = [-Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)];
  const right = [Math.cos(yaw), 0, Math.sin(yaw)];
  const down = [
    ahead[1] * right[2] - ahead[2] * right[1],
    ahead[2] * right[0] - ahead[0] * right[2],
    ahead[0] * right[1] - ahead[1] * right[0],
  ];
  return [right, down, ahead];
}

// A projection for a canvas of that size: point -> x, y (px), depth (m), px a metre there; along: with who walks.
function projection(width, height, along = false) {
  const [right, down, ahead] = eyeAxes();
  const focal = height / 2 / Math.tan(FIELD / 2);
  const away = eye.distance / eye.zoom;
  const [walkedX, , walkedZ] = along ? followed() : [0, 0, 0];
  const project = (p) => {
    const x = p[0] - eye.target[0] - walkedX, y = p[1] - eye.target[1], z = p[2] - eye.target[2] - walkedZ;
    const depth = Math.max(x * ahead[0] + y * ahead[1] + z * ahead[2] + away, 0.05);
    const scale = focal / depth;
    return {
      x: width / 2 + (x * right[0] + y * right[1] + z * right[2]) * scale,
      y: height / 2 + (x * down[0] + y * down[1] + z * down[2]) * scale,
      depth, scale,
    };
  };
  project.axes = [right, down, ahead];
  return project;
}

// The floor below somebody from a to b: quarters of a metre, 1.3 m at least.
function gridRange(a, b) {
  const room = Math.max(0.15, (1.3 - (b - a)) / 2);
  return [Math.floor((a - room) * 4) / 4, Math.ceil((b + room) * 4) / 4];
}

// Of one person who walks through the room, the eye goes along: metres along the floor that it is moved by.
const follows = () => state.place === "seen" && shown().length === 1 && shown()[0].mean.shape[0] > 1;
function followed() {
  if (!follows()) return [0, 0, 0];
  const track = shown()[0];
  let row = track.rows[state.step];
  for (let step = state.step; row < 0 && step >= 0; step--) row = track.rows[step];
  const at = seenPlaces[track.number].row(Math.max(row, 0));
  return [at[0], 0, at[2]];
}

// Balls that the view has to hold: everybody who is shown, at steps all through the clip, with the regions if they are
// shown; and how far the bodies themselves reach.
function extent() {
  const balls = [];
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (const track of shown()) {
    const rows = track.mean.shape[0], stride = Math.ceil(rows / 40);
    for (let row = 0; row < rows; row += stride) {
      const place = placeOf(track, row), at = follows() ? [0, place[1], 0] : place, radius = track.radius.row(row), centre = pointsOf(track.centre.row(row), at);
      pointsOf(track.mean.row(row), at).forEach((point, joint) => {
        for (let i = 0; i < 3; i++) {
          low[i] = Math.min(low[i], point[i]);
          high[i] = Math.max(high[i], point[i]);
        }
        balls.push({ at: point, radius: state.mode === "bodies" ? 0.14 : 0.08 });
        if (state.regions && radius[joint] > 0.08) balls.push({ at: centre[joint], radius: Math.min(radius[joint], 1.2) });
      });
    }
  }
  const floor = floorHeight();
  high[1] = Math.max(floor, low[1] + 0.5);
  const [x0, x1] = gridRange(low[0], high[0]), [z0, z1] = gridRange(low[2], high[2]);
  for (const x of [x0, x1]) for (const z of [z0, z1]) balls.push({ at: [x, floor, z], radius: 0.12 });
  return { balls, low, high, x0, x1, z0, z1 };
}

// Puts the eye where everything just fits, in the middle of the room between the buttons above and the numbers below.
function fit(width, height) {
  const { balls, low, high } = extent();
  const room = { left: 50, right: width - 20, top: 52, bottom: height - 30 };
  eye.target = [0, 1, 2].map((i) => (low[i] + high[i]) / 2);
  const zoom = eye.zoom;
  eye.zoom = 1;
  const outline = () => {
    const project = projection(width, height), box = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
    for (const ball of balls) {
      const p = project(ball.at), r = ball.radius * p.scale;
      box.left = Math.min(box.left, p.x - r);
      box.right = Math.max(box.right, p.x + r);
      box.top = Math.min(box.top, p.y - r);
      box.bottom = Math.max(box.bottom, p.y + r);
    }
    return box;
  };
  const [right, down] = eyeAxes();
  for (let round = 0; round < 3; round++) {
    let near = 0.8, far = 300;
    for (let i = 0; i < 26; i++) {
      eye.distance = Math.sqrt(near * far);
      const box = outline();
      if (box.right - box.left < room.right - room.left && box.bottom - box.top < room.bottom - room.top) far = eye.distance;
      else near = eye.distance;
    }
    eye.distance = far;
    const box = outline(), metre = projection(width, height)(eye.target).scale;
    const dx = ((box.left + box.right) / 2 - (room.left + room.right) / 2) / metre;
    const dy = ((box.top + box.bottom) / 2 - (room.top + room.bottom) / 2) / metre;
    for (let i = 0; i < 3; i++) eye.target[i] += right[i] * dx + down[i] * dy;
  }
  eye.zoom = zoom;
}

// Towards the named view, at once for who wants no motion.
let turning = 0;
function lookFrom(view, redraw) {
  const goal = VIEWS[view], start = { yaw: eye.yaw, pitch: eye.pitch };
  const quick = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let yaw = ((goal.yaw - start.yaw + 540) % 360) - 180;
  const began = performance.now();
  eye.view = view;
  eye.zoom = 1;
  cancelAnimationFrame(turning);
  const move = (now) => {
    const t = quick ? 1 : Math.min(Math.max((now - began) / 350, 0), 1);
    const ease = t * t * (3 - 2 * t);
    eye.yaw = start.yaw + yaw * ease;
    eye.pitch = start.pitch + (goal.pitch - start.pitch) * ease;
    redraw(true);
    if (t < 1) turning = requestAnimationFrame(move);
  };
  move(began);
}
