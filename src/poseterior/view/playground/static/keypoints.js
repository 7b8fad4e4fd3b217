// The keypoints as they stand: what the network is asked about, and what was dragged, hidden or changed.
const play = scene.play;
const track = tracks[0];
const starts = play.starts.map((start) => ({ ...start, xy: unpack(start.xy).values, sigma: unpack(start.sigma).values }));
const given = { start: 0, xy: [], sigma: [], visible: [], size: [0, 0], height: NaN };

// Numbers of the page are those of its file: hundredths of a pixel.
const rounded = (value) => Math.round(100 * value) / 100;

function begin(number) {
  const start = starts[number];
  given.start = number;
  given.xy = Array.from(start.xy, rounded);
  given.sigma = Array.from(start.sigma, (sigma) => Math.max(rounded(sigma), play.leastSigma));
  given.visible = [...start.visible];
  given.size = start.size;
}

const isSeen = (joint) => given.visible[joint] > 0;

function move(joint, x, y) {
  const far = 4 * Math.max(...given.size, 1); // a slip of the hand, not a number that computes to nothing
  given.xy[2 * joint] = rounded(Math.min(Math.max(x, -far), far));
  given.xy[2 * joint + 1] = rounded(Math.min(Math.max(y, -far), far));
  given.visible[joint] = 1;
}

// Hidden joints are nowhere; seen again, they are where the mean pose has them.
function show(joint, seen) {
  if (seen && !isSeen(joint)) {
    const [x, y] = overlay()(joint);
    move(joint, x, y);
  }
  given.visible[joint] = seen ? 1 : 0;
}

// σ on a slider from 0 to 1: from the least one to a quarter of the picture, in equal factors.
const sigmaRange = () => [play.leastSigma, Math.max(0.25 * Math.max(...given.size), 4 * play.leastSigma)];

function sliderOf(sigma) {
  const [least, most] = sigmaRange();
  return Math.log(sigma / least) / Math.log(most / least);
}

function sigmaOf(share) {
  const [least, most] = sigmaRange();
  return rounded(least * (most / least) ** Math.min(Math.max(share, 0), 1));
}

// Where the mean pose lies over the picture: a scale and a shift that put it over the seen joints. joint -> px.
function overlay() {
  const mean = track.mean.row(0), seen = [...Array(JOINTS).keys()].filter(isSeen);
  const middle = [0, 1].map((i) => seen.reduce((sum, j) => sum + given.xy[2 * j + i], 0) / Math.max(seen.length, 1));
  const centre = [0, 1].map((i) => seen.reduce((sum, j) => sum + mean[3 * j + i], 0) / Math.max(seen.length, 1));
  let along = 0, square = 0;
  for (const j of seen)
    for (const i of [0, 1]) {
      along += (mean[3 * j + i] - centre[i]) * (given.xy[2 * j + i] - middle[i]);
      square += (mean[3 * j + i] - centre[i]) ** 2;
    }
  const scale = along > 0 && square > 1e-4 ? along / square : 0.4 * Math.max(...given.size);
  const at = seen.length ? middle : given.size.map((side) => side / 2);
  const place = (joint) => [0, 1].map((i) => at[i] + scale * (mean[3 * joint + i] - centre[i]));
  place.scale = scale;
  return place;
}

// A file that `poseterior lift` reads.
function asFile() {
  const known = Number.isFinite(given.height) ? { height: given.height } : {};
  return JSON.stringify({
    skeleton: scene.play.skeleton,
    image_size: given.size,
    ...known,
    keypoints: play.names.map((_, j) => (isSeen(j) ? [given.xy[2 * j], given.xy[2 * j + 1]] : null)),
    covariance: given.sigma,
  });
}
