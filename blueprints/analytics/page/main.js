// One question, one job of the flow `ask`; its output has the answer and how it was found.
import { chart, table, unshown } from "./charts.js";

const EXAMPLES = ["Show the revenue by year", "Which countries bring the most revenue?", "Who are the best-selling artists?", "Which genres sell best?",
  "How many customers do we have?", "What are the longest tracks?", "Who are our best customers?", "What is the average invoice, by country?"];
const WAIT = "25s", PATIENCE_MS = 120_000;

const $ = (id) => document.getElementById(id);
const status = (text, bad = false) => { $("status").textContent = text; $("status").classList.toggle("bad", bad); };

// From the address, after the "#", which no server sees; then out of sight. Else of this tab alone.
function takeKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) {
    sessionStorage.setItem("key", given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem("key");
}

class Refused extends Error {
  constructor(code, text) { super(text); this.code = code; }
}

async function call(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, { ...options, headers: { authorization: `Bearer ${sessionStorage.getItem("key")}`, "content-type": "application/json" } });
  } catch {
    throw new Refused(0, "The server cannot be reached. Is it running?");
  }
  const body = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Refused(reply.status, body.detail || body.error?.message || `The server answered ${reply.status}.`);
  return body;
}

// Until the job has ended: the server holds each look for a while, nothing is asked in a hurry.
async function ended(job) {
  const until = Date.now() + PATIENCE_MS;
  while (!["done", "dead", "cancelled"].includes(job.state)) {
    if (Date.now() > until) throw new Refused(0, "No answer came in two minutes. The question goes on in the background; ask again later.");
    job = await call(`/api/jobs/${job.id}?wait=${WAIT}`);
  }
  return job;
}

const pretty = (value) => JSON.stringify(value, null, 2);
const heading = (text, name = "h3") => Object.assign(document.createElement(name), { textContent: text });
const block = (text) => Object.assign(document.createElement("pre"), { textContent: text });

function parameters(list) {
  return list.map((p, i) => `$${i + 1} = ${typeof p === "object" && p !== null && "value" in p ? `${JSON.stringify(p.value)} (${p.type})` : JSON.stringify(p)}`).join("\n");
}

function how(found, job) {
  const details = document.createElement("details");
  details.append(Object.assign(document.createElement("summary"), { textContent: "How this was found" }));
  details.append(heading("Intent: what the model took the question to mean"), block(pretty(found.intent)));
  if (found.sql) details.append(heading("Statement: made of the intent by a program"), block(found.sql));
  if (found.parameters?.length) details.append(heading("Parameters"), block(parameters(found.parameters)));
  const t = found.timing_ms;
  if (t) {
    const ms = (v) => `${v.toLocaleString(undefined, { maximumFractionDigits: 2 })} ms`;
    const parts = [["model", `model, asked ${found.asked === 1 ? "once" : `${found.asked} times`}`], ["read", "reading the intent"], ["build", "building the statement"], ["run", "database"]];
    details.append(heading("Time"), block(parts.filter(([name]) => name in t).map(([name, text]) => `${text}: ${ms(t[name])}`).join("\n")));
  }
  details.append(Object.assign(document.createElement("p"), { className: "note", textContent: `Job ${job.id}: ballast explain ${job.id} tells the same.` }));
  return details;
}

function show(question, job) {
  const { answer, found } = job.output;
  const article = document.createElement("article");
  article.append(heading(question, "h2"));
  const refused = Boolean(found.unanswerable);
  article.classList.toggle("refused", refused);
  const picture = refused ? null : chart(found, question, $("answers").clientWidth - 42);
  // The program's own words only repeat what is shown; a model's do not.
  if (refused || found.rows.length === 0 || answer !== found.text) article.append(Object.assign(document.createElement("p"), { textContent: answer }));
  if (picture) article.append(picture);
  if (!refused && found.rows.length) {
    if (!picture) article.append(table(found));
    else if (found.chart !== "number") {
      const rows = document.createElement("details");
      rows.append(Object.assign(document.createElement("summary"), { textContent: `All ${found.rows.length} rows${unshown(found).length ? `, with ${unshown(found).join(", ")}` : ""}` }), table(found));
      article.append(rows);
    }
  }
  if (found.truncated) article.append(Object.assign(document.createElement("p"), { className: "note", textContent: `The first ${found.rows.length} rows; there are more.` }));
  article.append(how(found, job));
  $("nothing").hidden = true;
  $("answers").prepend(article);
}

function keyButton() {
  $("key-button").textContent = sessionStorage.getItem("key") ? "Change the key" : "Give a key";
}

let busy = false;
async function ask(question) {
  if (busy || !question) return;
  if (!sessionStorage.getItem("key")) return askForKey(question);
  busy = true;
  $("send").disabled = $("examples").inert = true;
  const began = Date.now();
  const tick = setInterval(() => status(`Asking … ${Math.round((Date.now() - began) / 1000)} s`), 1000);
  status("Asking …");
  try {
    const job = await ended(await call(`/api/jobs?wait=${WAIT}`, { method: "POST", body: JSON.stringify({ flow: "ask", input: { question } }) }));
    if (job.state !== "done") throw new Refused(0, `The question failed: ${job.error?.message ?? job.state}`);
    show(question, job);
    status(job.output.found.unanswerable ? "That cannot be answered." : `Answered in ${((Date.now() - began) / 1000).toFixed(1)} s.`);
    $("question").value = "";
  } catch (error) {
    status(error.message, true);
    if (error.code === 401) { sessionStorage.removeItem("key"); keyButton(); askForKey(question); }
  } finally {
    clearInterval(tick);
    busy = false;
    $("send").disabled = $("examples").inert = false;
    // With a finger the keyboard on the screen would hide the answer.
    if (!matchMedia("(pointer: coarse)").matches) $("question").focus();
  }
}

function askForKey(question) {
  const dialog = $("key-dialog");
  $("key").value = "";
  dialog.returnValue = "cancel";
  dialog.onclose = () => {
    const key = $("key").value.trim();
    if (dialog.returnValue !== "save" || !key) return;
    sessionStorage.setItem("key", key);
    keyButton();
    status("");
    if (question) ask(question);
  };
  dialog.showModal();
}

for (const text of EXAMPLES) {
  const chip = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  chip.addEventListener("click", () => { $("question").value = text; ask(text); });
  $("examples").append(chip);
}
$("ask").addEventListener("submit", (event) => { event.preventDefault(); ask($("question").value.trim()); });
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask($("question").value.trim()); }
});
$("question").addEventListener("input", (event) => { event.target.style.height = "auto"; event.target.style.height = `${event.target.scrollHeight + 2}px`; });
$("key-button").addEventListener("click", () => askForKey(""));
if (!takeKey()) status("Give this page a key first: the button in the corner.");
keyButton();
if (!matchMedia("(pointer: coarse)").matches) $("question").focus();
