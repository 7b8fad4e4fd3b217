// Uncertainty over time: the radius of the regions, mean of the joints and of the chosen one; gaps and unseen joints.
const clock = (() => {
  // when each step begins, seconds of the playback, and when the last one ends
  const starts = [0];
  for (const pause of scene.pauses) starts.push(starts[starts.length - 1] + pause);
  return { starts, end: starts[starts.length - 1] };
})();
const PAD = { left: 58, right: 12, top: 16, bottom: 22, lane: 7 };

const stepAt = (time) => {
  let low = 0, high = scene.frames.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (clock.starts[middle] <= time) low = middle;
    else high = middle - 1;
  }
  return low;
};

// Mean over the joints but the origin, mm, at each step; NaN where the person is not there.
function meanRadii(track) {
  return track.rows.map((row) => {
    if (row < 0) return NaN;
    let sum = 0, count = 0;
    track.radius.row(row).forEach((r, j) => {
      if (j === scene.root) return;
      sum += 1000 * r;
      count++;
    });
    return sum / Math.max(count, 1);
  });
}
const curves = tracks.map(meanRadii);
const unseenShares = tracks.map((track) => track.rows.map((row) => (row < 0 ? NaN : track.seen.row(row).filter((s) => !(s > 0)).length / JOINTS)));

const timeToX = (time, width) => PAD.left + (time / clock.end) * (width - PAD.left - PAD.right);
const xToTime = (x, width) => Math.min(Math.max((x - PAD.left) / (width - PAD.left - PAD.right), 0), 1) * clock.end;

function drawTimeline(canvas, colours) {
  const context = canvas.getContext("2d"), width = canvas.clientWidth, height = canvas.clientHeight;
  sharpen(canvas, context);
  context.clearRect(0, 0, width, height);
  const track = tracks[state.person], joint = active();
  const mean = curves[state.person];
  const own = joint >= 0 ? track.rows.map((row) => (row < 0 ? NaN : 1000 * track.radius.row(row)[joint])) : null;
  const peak = Math.max(...mean.filter(Number.isFinite), ...(own || []).filter(Number.isFinite), 1);
  const top = niceAbove(peak), base = height - PAD.bottom - PAD.lane;
  const y = (mm) => base - (mm / top) * (base - PAD.top);
  context.font = "10.5px system-ui, sans-serif";
  for (const mm of anyRegion ? [0, top / 2, top] : []) {
    context.fillStyle = colours.line;
    context.fillRect(PAD.left, Math.round(y(mm)), width - PAD.left - PAD.right, 1);
    context.fillStyle = colours.soft;
    context.textAlign = "right";
    context.fillText(mm === top ? `${mm} mm` : `${mm}`, PAD.left - 6, y(mm) + 3.5);
  }
  context.textAlign = "left";
  hatchGaps(context, track, width, PAD.top, base, colours);
  drawUnseen(context, unseenShares[state.person], width, base + 1, colours);
  if (anyRegion) drawCurve(context, mean, width, y, base, colours.middle, true);
  if (anyRegion && own) drawCurve(context, own, width, y, base, colours[scene.sides[joint]], false);
  drawTimes(context, width, height, colours);
  const x = timeToX(clock.starts[state.step], width);
  context.strokeStyle = context.fillStyle = colours.accent;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x, PAD.top - 6);
  context.lineTo(x, base + PAD.lane);
  context.stroke();
  const value = anyRegion ? (own || mean)[state.step] : NaN;
  context.beginPath();
  context.arc(x, Number.isFinite(value) ? y(value) : base, 5, 0, 2 * Math.PI);
  context.fill();
  if (!Number.isFinite(value)) return;
  const text = `${value.toFixed(0)} mm`, wide = context.measureText(text).width;
  context.font = "600 11px system-ui, sans-serif";
  context.fillText(text, x + 9 + wide > width ? x - wide - 12 : x + 8, PAD.top - 4);
}

function niceAbove(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((n) => n * unit).find((n) => n >= value) || 10 * unit;
}

function drawCurve(context, values, width, y, base, colour, filled) {
  context.lineWidth = filled ? 2 : 2.4;
  context.strokeStyle = colour;
  let run = [];
  const flush = () => {
    if (!run.length) return;
    const path = () => {
      context.beginPath();
      run.forEach(([a, b], i) => context[i ? "lineTo" : "moveTo"](a, b));
    };
    if (filled) {
      path();
      context.lineTo(run[run.length - 1][0], base);
      context.lineTo(run[0][0], base);
      context.fillStyle = alphaOf(colour, 0.14);
      context.fill();
    }
    path();
    if (run.length === 1) context.lineTo(run[0][0] + 1, run[0][1]);
    context.stroke();
    run = [];
  };
  values.forEach((value, step) => {
    if (Number.isFinite(value)) run.push([timeToX(clock.starts[step], width), y(value)]);
    if (!Number.isFinite(value) || scene.gaps.includes(step)) flush();
  });
  flush();
}

// Times at which the person is not there, and missing frames.
function gapTimes(track) {
  const found = scene.gaps.map((step) => [clock.starts[step], clock.starts[step + 1]]);
  track.rows.forEach((row, step) => row < 0 && found.push([clock.starts[step], clock.starts[step + 1]]));
  return found;
}

function hatchGaps(context, track, width, top, base, colours) {
  context.save();
  context.strokeStyle = colours.soft;
  context.globalAlpha = 0.55;
  context.lineWidth = 1;
  context.beginPath();
  for (const [from, to] of gapTimes(track)) {
    const a = timeToX(from, width), b = Math.max(timeToX(to, width), a + 1.5);
    context.rect(a, top, b - a, base - top);
  }
  context.clip();
  context.beginPath();
  for (let x = -base; x < width; x += 6) {
    context.moveTo(x, base);
    context.lineTo(x + base - top, top);
  }
  context.stroke();
  context.restore();
}

function drawUnseen(context, shares, width, top, colours) {
  shares.forEach((share, step) => {
    if (!(share > 0)) return;
    const a = timeToX(clock.starts[step], width), b = timeToX(clock.starts[step + 1], width);
    context.fillStyle = alphaOf(colours.accent, 0.3 + 0.7 * share);
    context.fillRect(a, top + 1, Math.max(b - a + 0.3, 1.2), PAD.lane - 2);
  });
}

// Steps of one, two or five times a power of ten, as rulers have them.
function niceStep(least) {
  const unit = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5].map((n) => n * unit).find((n) => n >= least * (1 - 1e-9)) || 10 * unit;
}

function drawTimes(context, width, height, colours) {
  context.fillStyle = colours.soft;
  context.font = "10.5px system-ui, sans-serif";
  const rate = scene.rateKnown ? scene.rate : 1, values = scene.frames.map((frame) => frame / rate);
  const first = values[0], end = values[values.length - 1];
  const least = (end - first) / Math.max(Math.floor((width - PAD.left) / 90), 2);
  const unit = Math.max(niceStep(least || 1), scene.rateKnown ? 1e-3 : 1), digits = Math.max(0, -Math.floor(Math.log10(unit) + 1e-9));
  let last = -Infinity, step = 0;
  for (let n = Math.ceil(first / unit - 1e-9); n * unit <= end + 1e-9; n++) {
    const value = n * unit;
    while (step < values.length - 1 && values[step + 1] <= value + 1e-9) step++;
    const after = values[step + 1] === undefined ? 0 : (value - values[step]) / (values[step + 1] - values[step]);
    const time = clock.starts[step] + after * (clock.starts[step + 1] - clock.starts[step]);
    const text = scene.rateKnown ? `${value.toFixed(digits)} s` : `${n === Math.ceil(first / unit - 1e-9) ? "frame " : ""}${value}`;
    const wide = context.measureText(text).width;
    const x = Math.min(Math.max(timeToX(time, width) - wide / 2, PAD.left - 8), width - wide - 4);
    if (x < last + 10) continue; // in time that is left out
    last = x + wide;
    context.fillText(text, x, height - 6);
  }
}

const seconds = (step) => (scene.frames[step] / scene.rate).toFixed(2);
const timeLabel = (step) => (scene.rateKnown ? `${seconds(step)} s` : `frame ${scene.frames[step]}`);

function describeTimeline() {
  const track = tracks[state.person], known = curves[state.person].filter(Number.isFinite);
  if (!known.length || !anyRegion) return `${scene.frames.length} steps`;
  const low = Math.min(...known).toFixed(0), high = Math.max(...known).toFixed(0), gaps = gapTimes(track).length;
  return `Mean ${percent(scene.level)} radius over time, ${low} to ${high} mm` + (gaps ? `; ${gaps} ${gaps === 1 ? "gap" : "gaps"}` : "");
}
