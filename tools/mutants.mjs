/**
 * Plants the faults of tools/mutants/list.mjs into the firmware, one at a time and never in the tree, and demands that
 * the tests notice every one. Writes docs/mutants.md; with `--check` it writes nothing and demands that the page is of
 * this list; with `--fits` it tries nothing and demands only that. With words it tries only the faults whose file or text
 * has one of them: `npm run mutants -- outbox`.
 */

import { fork } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SUBJECTS } from "./mutants/list.mjs";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const PAGE = join(ROOT, "docs/mutants.md");

/** Longer than all tests take. A fault with which they do not come to an end is not for this list. */
const LIMIT_MS = 300_000;

const HEAD = [
  "| Fault | Where | Clause | Noticed first by | s |",
  "| --- | --- | --- | --- | --- |",
];

/** Begins the line of a fault in the page. */
const ROW = /^\| (?!Fault|---)(.*?) \| `/gm;

const subjects = SUBJECTS.map(({ subject, first, mutants }) => ({
  subject,
  mutants: mutants.map((mutant) => ({ ...mutant, first })),
}));
const mutants = subjects.flatMap(({ mutants }) => mutants);
const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const chosen = mutants.filter(
  ({ fault, file }) =>
    words.length === 0 || words.some((word) => `${file} ${fault}`.includes(word)),
);

const problems = mutants.flatMap(problemsOf);
if (process.argv.includes("--fits")) problems.push(...problemsOfPage());
else if (problems.length === 0) await run();
report(problems);

async function run() {
  const startedAtMs = performance.now();
  const results = await tryAll([null, ...chosen]);
  const seconds = (performance.now() - startedAtMs) / 1000;
  problems.push(...judge(results));
  say(`${results.size - 1} faults in ${seconds.toFixed(0)} s`);
  if (words.length > 0 || problems.length > 0) return;
  if (!process.argv.includes("--check")) writeFileSync(PAGE, pageText(results, seconds));
  else problems.push(...problemsOfPage());
}

function judge(results) {
  const sound = results.get(null).caughtBy;
  if (sound !== undefined) return [`Without any fault, this fails: ${text(sound)}`];
  return chosen
    .filter((mutant) => results.get(mutant).caughtBy === undefined)
    .map(({ fault, file }) => `No test notices: ${fault} (${file})`);
}

/** The text to replace must be there once: a list that no longer fits the source proves nothing. */
function problemsOf({ fault, file, from }) {
  const count = readFileSync(join(ROOT, file), "utf8").split(from).length - 1;
  return count === 1 ? [] : [`${file} has the text of this fault ${count} times: ${fault}`];
}

/** Mutant → what came of it. As many at once as there are processors. */
async function tryAll(jobs) {
  const scratch = mkdtempSync(join(tmpdir(), "wasmqtt-mutants-"));
  process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  const results = new Map();
  const queue = jobs.values();
  await Promise.all(
    Array.from({ length: availableParallelism() }, (_, index) =>
      runLane(join(scratch, `${index}`), queue, results),
    ),
  );
  return results;
}

async function runLane(folder, queue, results) {
  mkdirSync(folder);
  cpSync(join(ROOT, "firmware"), join(folder, "firmware"), { recursive: true });
  cpSync(join(ROOT, "asconfig.json"), join(folder, "asconfig.json"));
  const lane = fork(fileURLToPath(new URL("./mutants/lane.mjs", import.meta.url)), [folder]);
  try {
    for (const mutant of queue) {
      const result = await answerOf(lane, mutant);
      results.set(mutant, result);
      if (results.get(null)?.caughtBy !== undefined) return; // nothing else would tell anything
      const { caughtBy, seconds } = result;
      say(`${seconds.toFixed(1)} s  ${mutant?.fault ?? "No fault"}: ${text(caughtBy)}`);
    }
  } finally {
    lane.kill();
  }
}

function answerOf(lane, mutant) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Error(`Nothing came of this: ${mutant?.fault ?? "no fault"}`));
    const timer = setTimeout(fail, LIMIT_MS);
    lane.once("exit", fail);
    lane.once("message", (result) => {
      clearTimeout(timer);
      lane.off("exit", fail);
      resolve(result);
    });
    lane.send(mutant);
  });
}

function pageText(results, seconds) {
  const tables = subjects.map(({ subject, mutants }) => {
    const rows = mutants.map((mutant) => row(mutant, results.get(mutant)));
    return [`## ${subject}`, "", ...HEAD, ...rows, ""].join("\n");
  });
  return `# Faults that the tests must find

Made by \`npm run mutants\` from \`tools/mutants/list.mjs\`. Each fault is one replacement in the firmware's source, made in a
copy of it. The tests run against the modules built from that until one fails: it is named. A fault that no test notices
fails the command.

${mutants.length} faults, all noticed; ${seconds.toFixed(0)} s on ${availableParallelism()} processors.

${tables.join("\n")}`;
}

function row({ fault, file, clause }, { caughtBy, seconds }) {
  const cells = [fault, `\`${file.replace("firmware/", "")}\``, clause, text(caughtBy)];
  return `| ${cells.map(cell).join(" | ")} | ${seconds.toFixed(1)} |`;
}

function problemsOfPage() {
  const faults = [...readFileSync(PAGE, "utf8").matchAll(ROW)].map(([, fault]) => fault);
  const isOfList = faults.join("\n") === mutants.map(({ fault }) => cell(fault)).join("\n");
  return isOfList ? [] : ["docs/mutants.md is stale: run `npm run mutants`"];
}

function text(caughtBy) {
  return caughtBy === undefined ? "nothing fails" : `${caughtBy.file}: ${caughtBy.title}`;
}

function cell(content) {
  return content.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}

function report(lines) {
  for (const line of lines) say(line);
  if (lines.length > 0) process.exitCode = 1;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
