// The page of questions. The server decides what is asked; this page shows it and sends the answer.
import { $, ask, drawFigure, svg } from "./common.js";

const RING = 13; // radius of the circles on the screen, px
const PAUSE = 250; // a question that has just come takes no answer for so long, ms: no double presses

let state = null;
let light = null;
let shownAt = 0;
let busy = false;
let circles = true;
let whole = false;

const question = () => state && state.question;
const inTutorial = () => question() && question().tutorial !== undefined;
const say = (text, kind = "") => {
  $("#message").textContent = text;
  $("#message").className = `message small ${kind}`;
};

// -- showing ------------------------------------------------------------------------------------------

function showOnly(id) {
  for (const part of ["welcome", "ask", "done"]) $(`#${part}`).hidden = part !== id;
  $("#progress").hidden = id === "welcome";
  $("#leave").hidden = id === "welcome";
}

async function show(next) {
  state = next;
  $("#who").textContent = state.annotator;
  $("#feedback").hidden = true;
  for (const part of ["#pair", "#question", "#tools"]) $(part).hidden = false;
  showProgress();
  if (!question()) {
    $("#done-text").textContent = `You have answered ${state.answered} question${state.answered === 1 ? "" : "s"}.`;
    $("#done-undo").hidden = !state.last;
    showOnly("done");
    return;
  }
  showOnly("ask");
  light ??= drawFigure($("#figure"), await ask("api/figure"));
  const [first, second] = question().joints;
  light({ [first.name]: "first", [second.name]: "second" });
  $("#first b").textContent = first.title;
  $("#second b").textContent = second.title;
  $("#picture").setAttribute("aria-label", `Picture of a person; circled: ${first.title} (green) and ${second.title} (pink)`);
  $("#badge").hidden = !inTutorial();
  if (inTutorial()) $("#badge").textContent = `Practice ${question().tutorial + 1} of ${question().of}`;
  $("#undo").disabled = inTutorial() || !state.last;
  const { box, size } = question();
  $("#unsure").hidden = $("#undo").hidden = Boolean(inTutorial());
  $("#zoom").hidden = box[2] * box[3] > 0.95 * size[0] * size[1];
  await showPicture();
  shownAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
}

function showProgress() {
  const [done, all] = inTutorial() ? [question().tutorial, question().of] : [state.answered, state.answered + state.left];
  $("#track").setAttribute("aria-valuemax", all);
  $("#track").setAttribute("aria-valuenow", done);
  $("#track > div").style.width = `${all ? (100 * done) / all : 100}%`;
  $("#count").textContent = inTutorial() ? `practice ${done + 1} of ${all}` : `${done} of ${all}`;
}

async function showPicture() {
  const { photo, size } = question();
  const picture = $("#picture");
  const address = photo.split("/").map(encodeURIComponent).join("/");
  if (picture.dataset.address !== address) {
    picture.dataset.address = address;
    $("#stage").classList.add("loading");
    const image = new Image();
    image.src = address;
    await image.decode().catch(() => say("The picture cannot be shown.", "bad"));
    picture.replaceChildren();
    svg("image", { href: address, width: size[0], height: size[1] }, picture);
    svg("g", { id: "circles" }, picture);
    $("#stage").classList.remove("loading");
  }
  frame();
}

/** Scale the picture to fit and draw circles of the same size whatever the scale. */
function frame() {
  if (!question() || !$("#circles")) return;
  const { size, box, joints } = question();
  const [x, y, width, height] = whole ? [0, 0, ...size] : box;
  const picture = $("#picture");
  picture.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  const shown = picture.getBoundingClientRect();
  const radius = RING / Math.min(shown.width / width, shown.height / height);
  $("#circles").replaceChildren();
  joints.forEach((joint, place) => {
    const at = { cx: joint.x, cy: joint.y, r: radius };
    svg("circle", { ...at, class: "halo" }, $("#circles"));
    svg("circle", { ...at, class: `ring ${place ? "second" : "first"}` }, $("#circles"));
  });
  $("#circles").style.display = circles ? "" : "none";
}

// -- answering ----------------------------------------------------------------------------------------

/** One thing at a time; what the server refuses is said, and the question that it has now is shown. */
async function act(work) {
  if (busy) return;
  busy = true;
  $(".answers").setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    if (error.status === 401) {
      showOnly("welcome");
      $("#name").focus();
    } else {
      if (error.status) await show(await ask("api/state"));
      say(error.message, "bad");
    }
  } finally {
    busy = false;
    $(".answers").setAttribute("aria-busy", "false");
  }
}

const trouble = (text) => say(text, "bad");

function choose(place) {
  if (!question() || !$("#feedback").hidden) return;
  const nearer = place === null ? null : question().joints[place].name;
  return act(async () => {
    if (inTutorial()) {
      judge(await ask("api/tutorial", { question: question().tutorial, nearer }, trouble));
      return;
    }
    const next = await ask("api/answer", {
      id: identifier(),
      task: question().task,
      first: question().joints[0].name,
      nearer,
      seconds: Math.round(performance.now() - shownAt) / 1000,
    }, trouble);
    say("");
    await show(next);
  });
}

/** crypto.randomUUID exists on secure origins only, and another machine may ask over plain http. */
function identifier() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function judge({ right, why, state: next }) {
  $("#feedback").className = `feedback ${right ? "good" : "bad"}`;
  $("#verdict").textContent = right ? "Right" : "Not quite";
  $("#why").textContent = why;
  for (const part of ["#pair", "#question", "#tools"]) $(part).hidden = true;
  $("#feedback").hidden = false;
  $("#continue").textContent = right ? "Continue" : "Try again";
  $("#continue").onclick = () => act(() => show(next));
  $("#continue").focus();
}

function undo() {
  if (!state || !state.last || inTutorial()) return;
  return act(async () => {
    const next = await ask("api/undo", { answer: state.last }, trouble);
    await show(next);
    say("Undone: answer this one again.");
  });
}

function toggle() {
  circles = !circles;
  $("#toggle").setAttribute("aria-pressed", String(!circles));
  frame();
}

function zoom() {
  whole = !whole;
  $("#zoom").setAttribute("aria-pressed", String(whole));
  frame();
}

// -- beginning ----------------------------------------------------------------------------------------

function begin(code = null) {
  const name = $("#name").value;
  const message = $("#begin-message");
  message.textContent = "";
  return act(async () => {
    let first;
    try {
      first = await ask("api/session", code === null ? { name } : { name, code }, (text) => (message.textContent = text));
    } catch (error) {
      message.textContent = error.message;
      if (error.status === 409) {
        $("#come-back").hidden = false;
        $("#code").value = "";
        $("#code").focus();
      }
      return;
    }
    $("#come-back").hidden = true;
    await show(first);
  });
}

/** The secret by which the annotator goes on in another browser. */
async function showCode() {
  const found = state ? await ask("api/code").catch(() => null) : null;
  $("#own-code").hidden = !found;
  if (found) $("#own-code code").textContent = found.code;
  return found;
}

async function leave() {
  const found = await showCode();
  await ask("api/leave", {});
  state = null;
  $("#who").textContent = "";
  $("#name").value = "";
  showOnly("welcome");
  $("#begin-message").textContent = found ? `To go on as ${found.name} later you need this code: ${found.code}` : "";
}

const KEYS = {
  1: () => choose(0), ArrowLeft: () => choose(0), 2: () => choose(1), ArrowRight: () => choose(1),
  c: () => inTutorial() || choose(null), u: undo, t: toggle, z: zoom,
};

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || $("#dialog").open) return;
  if (event.target.matches("input")) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action && question()) {
    event.preventDefault();
    action();
  }
});

$("#first").onclick = () => choose(0);
$("#second").onclick = () => choose(1);
$("#unsure").onclick = () => choose(null);
$("#undo").onclick = $("#done-undo").onclick = undo;
$("#toggle").onclick = toggle;
$("#zoom").onclick = zoom;
$("#leave").onclick = leave;
$("#help").onclick = () => {
  $("#dialog").showModal();
  showCode();
};
$("#come-back").onsubmit = (event) => {
  event.preventDefault();
  begin($("#code").value.trim());
};
$("#begin").onsubmit = (event) => {
  event.preventDefault();
  begin();
};
$("#dialog-text").innerHTML = $("#instructions").innerHTML;
new ResizeObserver(frame).observe($("#stage"));

act(async () => show(await ask("api/state", undefined, trouble)));
