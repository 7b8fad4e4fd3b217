// The state of the study, as the server counts it.
import { $, ask } from "./common.js";

const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(share === 1 ? 0 : 1)} %`);
const number = (value) => value.toLocaleString("en");

function element(name, text, parent, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  parent.append(made);
  return made;
}

function tile(title, value, note) {
  const box = element("div", "", $("#tiles"), "card tile");
  element("span", title, box, "small soft");
  element("b", value, box);
  element("span", note, box, "small soft");
}

function tiles(found) {
  $("#tiles").replaceChildren();
  const names = found.people;
  tile("Answers", number(found.answers), `of ${number(found.wanted)} wanted, ${number(found.images)} photographs`);
  tile("Annotators", number(names), found.cannot_tell === null ? "no answer yet" : `cannot tell: ${percent(found.cannot_tell)}`);
  tile("Agreement", percent(found.agreement), found.twos ? `in ${number(found.twos)} comparisons of two annotators` : "no pair has two answers yet");
  tile("Gold questions", percent(found.gold), found.gold_answers ? `right of ${number(found.gold_answers)} answers` : "none answered");
}

function annotators(found) {
  const table = $("#annotators");
  table.replaceChildren();
  $("#people").hidden = !found.annotators;
  $("#guests").hidden = Boolean(found.annotators);
  if (!found.annotators) return;
  const known = (share) => (share === null || share === undefined ? "not known yet" : percent(share));
  const columns = [
    ["Name", (row) => row.name],
    ["Answers", (row) => number(row.answers)],
    ["Cannot tell", (row) => number(row.cannot_tell)],
    ["Agreement", (row) => percent(row.agreement)],
    ["Gold right", (row) => (row.gold ? `${row.gold_right} of ${row.gold}` : "–")],
    ["Quality", (row) => known(row.quality)],
    ["Chose the first", (row) => percent(row.first)],
    ["Seconds", (row) => (row.seconds === null ? "–" : row.seconds.toFixed(1))],
    ["Practice errors", (row) => number(row.tutorial_errors)],
  ];
  const head = element("tr", "", element("thead", "", table));
  for (const [title] of columns) element("th", title, head).scope = "col";
  const body = element("tbody", "", table);
  for (const row of found.annotators) {
    const line = element("tr", "", body);
    for (const [title, text] of columns) {
      const poor = title === "Gold right" && row.gold >= 5 && row.gold_right < 0.7 * row.gold;
      element("td", text(row), line, poor ? "warn" : "");
    }
  }
  $("#flags").replaceChildren();
  for (const row of found.annotators) {
    for (const flag of row.flags) element("li", `${row.name}: ${flag}`, $("#flags"));
  }
  $("#flags").hidden = !$("#flags").children.length;
  if (!found.annotators.length) element("td", "Nobody has begun yet.", element("tr", "", body), "soft");
  $("#legend").textContent =
    "Agreement: how often another annotator says the same of a pair. " +
    "Quality: how often the answer is right, as merging estimates it; not known before ten answers could be " +
    "compared with others' or with gold questions. " +
    "Chose the first: near 50 % where nobody favours the green circle. Seconds: median time of an answer.";
}

function merged({ merged: labels }) {
  $("#merged").hidden = !labels.bars;
  if (!labels.bars) return;
  $("#bars").hidden = labels.confidence === null;
  $("#merged-text").textContent =
    `${number(labels.pairs)} pairs by ${labels.method}; mean probability that the label is right ` +
    (labels.confidence === null ? "not known yet: no pair has two answers" : percent(labels.confidence)) +
    (labels.gold === null || labels.gold === undefined ? "." : `; right on ${percent(labels.gold)} of the gold questions.`);
  $("#bars").replaceChildren();
  for (const [from, to, count] of labels.bars) {
    element("span", `${Math.round(100 * from)}–${Math.round(100 * to)} %`, $("#bars"), "small soft");
    const bar = element("div", "", element("div", "", $("#bars"), "track"));
    bar.style.width = `${(100 * count) / labels.pairs}%`;
    element("span", number(count), $("#bars"), "small");
  }
}

async function load() {
  try {
    const found = await ask("api/results");
    $("#message").hidden = true;
    const share = found.wanted ? found.answers / found.wanted : 0;
    $("#track").setAttribute("aria-valuemax", found.wanted);
    $("#track").setAttribute("aria-valuenow", found.answers);
    $("#track > div").style.width = `${100 * share}%`;
    $("#count").textContent = `${number(found.answers)} of ${number(found.wanted)} answers`;
    tiles(found);
    annotators(found);
    merged(found);
    $("#take").hidden = !found.export;
    $("#export").textContent = found.export ?? "";
  } catch (error) {
    $("#message").textContent = error.message;
    $("#message").hidden = false;
  }
}

$("#refresh").onclick = load;
await load();
