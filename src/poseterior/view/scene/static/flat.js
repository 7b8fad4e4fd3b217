// Keypoints in a picture: their bones, and how sure they are.

// Bones between places in px; where a place is null there is none. Those to a joint that is not seen are dashed.
function drawFlatBones(context, points, colours, rim, seen = () => true) {
  context.lineCap = "round";
  for (const pass of ["rim", "line"])
    for (const [child, parent] of BONES) {
      if (!points[child] || !points[parent]) continue;
      context.strokeStyle = pass === "rim" ? rim : colours[scene.sides[child]];
      context.lineWidth = pass === "rim" ? 5 : 2.6;
      context.globalAlpha = pass === "rim" ? 0.7 : 1;
      context.beginPath();
      context.moveTo(...points[parent]);
      context.lineTo(...points[child]);
      context.setLineDash(pass === "line" && !(seen(child) && seen(parent)) ? [6, 5] : []);
      context.stroke();
    }
  context.globalAlpha = 1;
  context.setLineDash([]);
}

// One standard deviation: the image of a circle under the covariance's factor.
function drawSpread(context, p, [a, b, c], scale, colour) {
  if (!Number.isFinite(a)) return;
  context.beginPath();
  for (let i = 0; i <= 32; i++) {
    const angle = (i / 32) * 2 * Math.PI, u = Math.cos(angle), v = Math.sin(angle);
    context[i ? "lineTo" : "moveTo"](p[0] + scale * a * u, p[1] + scale * (b * u + c * v));
  }
  context.fillStyle = alphaOf(colour, 0.28);
  context.fill();
  context.strokeStyle = alphaOf(colour, 0.75);
  context.lineWidth = 1;
  context.stroke();
}
