// The network: unpacked from the page, run by ONNX Runtime in WebAssembly on one thread. What it says replaces the track's numbers.
let session = null;
const noise = unpack(play.noise);
const SAMPLES = noise.shape[0];

const NEEDED = "this browser cannot run the page's network; it takes Chrome 103, Edge 103, Firefox 113, Safari 16.4 or later";

async function unpacked(id) {
  const letters = atob($(id).textContent), bytes = new Uint8Array(letters.length);
  $(id).remove(); // megabytes of text that nobody needs again
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function startNetwork() {
  if (typeof WebAssembly === "undefined" || typeof DecompressionStream === "undefined") throw new Error(NEEDED);
  const ort = globalThis.ort;
  if (!ort) throw new Error("the page's runtime did not start; its file may be damaged, write it anew");
  Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: await unpacked("wasm") });
  ort.env.logLevel = "error";
  // its graph was simplified when the page was written
  session = await ort.InferenceSession.create(await unpacked("network"), { executionProviders: ["wasm"], graphOptimizationLevel: "disabled" });
}

const float = (values, ...shape) => new ort.Tensor("float32", Float32Array.from(values), shape);
const noiseTensor = () => (noiseTensor.kept ||= float(noise.values, SAMPLES, 1, noise.shape[1]));

async function lift() {
  const asked = given.visible.map((seen) => seen > 0);
  const xy = given.xy.map((value, i) => (asked[i >> 1] ? value : 0));
  const said = await session.run(
    {
      xy: float(xy, 1, JOINTS, 2),
      covariance: float(given.sigma.flatMap((sigma) => [sigma * sigma, 0, 0, sigma * sigma]), 1, JOINTS, 2, 2),
      visible: new ort.Tensor("bool", Uint8Array.from(asked), [1, JOINTS]),
      intrinsics: float([NaN, NaN, NaN, NaN], 1, 4),
      image_size: float(given.size, 1, 2),
      height: float([given.height], 1),
      noise: noiseTensor(),
    },
    ["mean", "samples", "centre", "radius"],
  );
  track.mean.values.set(said.mean.data);
  track.centre.values.set(said.centre.data);
  track.radius.values.set(said.radius.data);
  track.seen.values.set(asked.map(Number));
  play.drawn.forEach((sample, k) => track.samples.values.set(said.samples.data.subarray(3 * JOINTS * sample, 3 * JOINTS * (sample + 1)), 3 * JOINTS * k));
  scene.place.beside.floor = Math.max(...[...Array(JOINTS).keys()].map((j) => track.mean.values[3 * j + 1]));
}
