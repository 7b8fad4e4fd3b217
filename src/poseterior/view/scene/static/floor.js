// The floor: a grid of metres with its numbers, a ruler for heights, and where the camera is.
function drawFloor(context, project, colours) {
  const room = extent(), { low } = room, walked = followed();
  const [x0, x1] = [room.x0, room.x1].map((x) => Math.round((x + walked[0]) * 4) / 4);
  const [z0, z1] = [room.z0, room.z1].map((z) => Math.round((z + walked[2]) * 4) / 4);
  const floor = floorHeight();
  const fine = Math.max(x1 - x0, z1 - z0) > 7 ? 1 : 0.25;
  const line = (a, b, width, alpha, colour = colours.soft) => {
    const p = project(a), q = project(b);
    context.globalAlpha = alpha;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(p.x, p.y);
    context.lineTo(q.x, q.y);
    context.stroke();
  };
  const whole = (v) => Math.abs(v - Math.round(v)) < 1e-6;
  context.save();
  for (let x = x0; x <= x1 + 1e-6; x += fine) line([x, floor, z0], [x, floor, z1], whole(x) ? 1.1 : 0.6, whole(x) ? 0.5 : 0.22);
  for (let z = z0; z <= z1 + 1e-6; z += fine) line([x0, floor, z], [x1, floor, z], whole(z) ? 1.1 : 0.6, whole(z) ? 0.5 : 0.22);
  drawPaths(context, project, colours);
  drawScales(context, project, colours, { x0, x1, z0, z1, floor, top: low[1] });
  context.restore();
}

// The pelvis' way over the floor, where it is known; what is over is stronger.
function drawPaths(context, project, colours) {
  if (state.place !== "seen") return;
  const floor = floorHeight();
  context.strokeStyle = colours.accent;
  context.lineWidth = 2;
  for (const track of shown()) {
    let before = null;
    track.rows.forEach((row, step) => {
      const at = row < 0 ? null : placeOf(track, row);
      if (before && at && track.mean.shape[0] > 1 && !scene.gaps.includes(step - 1)) {
        const p = project([before[0], floor, before[2]]), q = project([at[0], floor, at[2]]);
        context.globalAlpha = step <= state.step ? 0.85 : 0.3;
        context.beginPath();
        context.moveTo(p.x, p.y);
        context.lineTo(q.x, q.y);
        context.stroke();
      }
      before = at;
    });
  }
  context.globalAlpha = 1;
}

// Numbers in metres along the floor's near edges, and heights above the floor at a far corner.
function drawScales(context, project, colours, room) {
  const { x0, x1, z0, z1, floor, top } = room;
  const [right, , ahead] = project.axes;
  const above = eye.pitch > 60;
  const zNear = ahead[2] >= 0 ? z0 : z1, xNear = ahead[0] > 0 ? x0 : x1;
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = colours.soft;
  context.globalAlpha = 1;
  const taken = [];
  const write = (text, point, dx, dy) => {
    const p = project(point), width = context.measureText(text).width;
    const x = Math.min(Math.max(p.x + dx - width / 2, 4), context.canvas.clientWidth - width - 4);
    const y = Math.min(p.y + dy, context.canvas.clientHeight - 6);
    if (taken.some((t) => x < t.x + t.width + 6 && t.x < x + width + 6 && Math.abs(y - t.y) < 13)) return;
    taken.push({ x, y, width });
    context.fillText(text, x, y);
  };
  const metres = (v) => `${v === 0 ? "0" : String(v).replace("-", "−")} m`;
  const every = Math.max(x1 - x0, z1 - z0) > 2.6 ? 1 : 0.5;
  const middle = project([(x0 + x1) / 2, floor, (z0 + z1) / 2]);
  const outward = (point) => {
    const p = project(point), dx = p.x - middle.x, dy = p.y - middle.y, length = Math.hypot(dx, dy) || 1;
    return [(14 * dx) / length, (14 * dy) / length + 4];
  };
  const seesX = Math.abs(right[0]) > 0.35, seesZ = Math.abs(right[2]) > 0.15 || above;
  if (seesX) {
    const end = [right[0] > 0 ? x1 : x0, floor, zNear];
    write(right[0] > 0 ? `${AXIS.right} →` : `← ${AXIS.right}`, end, right[0] > 0 ? -18 : 18, 30);
    const away = outward([(x0 + x1) / 2, floor, zNear]);
    for (let x = Math.ceil(x0 / every) * every; x <= x1 + 1e-6; x += every) write(metres(x), [x, floor, zNear], ...away);
  }
  if (seesZ) {
    const [dx, dy] = outward([xNear, floor, (z0 + z1) / 2]);
    for (let z = Math.ceil(z0 / every) * every; z <= z1 + 1e-6; z += every) write(metres(z), [xNear, floor, z], dx, dy);
    const aside = (dx < 0 ? -1 : 1) * (context.measureText(AXIS.ahead).width / 2 + 8);
    // beside one person at the far end; a row of people stands there, so that it is before them
    if (shown().length > 1) write(`${AXIS.ahead} ↗`, [xNear, floor, zNear], 0, 47);
    else write(AXIS.ahead, [xNear, floor, z1], aside, dy - 16);
  }
  if (above) return;
  // at the leftmost corner, or the next one where that is the nearest, so that it stands beside people
  const corners = [[x0, z0], [x0, z1], [x1, z0], [x1, z1]].map(([x, z]) => ({ x, z, at: project([x, floor, z]) }));
  const nearest = corners.reduce((a, b) => (b.at.depth < a.at.depth ? b : a));
  const left = corners.filter((corner) => corner !== nearest).reduce((a, b) => (b.at.x < a.at.x ? b : a));
  drawHeights(context, project, colours, { x: left.x, z: left.z, floor, top });
}

function drawHeights(context, project, colours, { x, z, floor, top }) {
  const height = floor - top, step = height > 1.2 ? 0.5 : 0.25;
  const foot = project([x, floor, z]), head = project([x, top, z]);
  const side = foot.x < context.canvas.clientWidth / 2 ? -1 : 1;
  context.strokeStyle = colours.soft;
  context.lineWidth = 1;
  context.globalAlpha = 0.6;
  context.beginPath();
  context.moveTo(foot.x, foot.y);
  context.lineTo(head.x, head.y);
  for (let h = step; h <= height + 1e-6; h += step) {
    const p = project([x, floor - h, z]);
    context.moveTo(p.x, p.y);
    context.lineTo(p.x + 5 * side, p.y);
  }
  context.stroke();
  context.globalAlpha = 1;
  for (let h = step; h <= height + 1e-6; h += step) {
    const p = project([x, floor - h, z]), text = `${h} m`, width = context.measureText(text).width;
    const at = p.x + 8 * side - (side < 0 ? width : 0);
    if (at < 2 || at + width > context.canvas.clientWidth - 2) continue;
    context.fillText(text, at, p.y + 4);
  }
}
