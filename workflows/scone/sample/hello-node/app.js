"use strict";
// A first confidential task: average salaries, without anyone seeing a single one.
//
// What iExec gives to a task is in environment variables and in the folder IEXEC_IN; what a task gives back are
// the files in IEXEC_OUT. Inside the enclave the files are plain text; outside they never are.
//
// Node 10 or later, so that it runs on the old curated images too.

const fs = require("fs");
const path = require("path");
const table = require("text-table"); // from package.json: dependencies work as they do everywhere

const INPUT = process.env.IEXEC_IN || "/iexec_in";
const OUTPUT = process.env.IEXEC_OUT || "/iexec_out";
const RESULT = "report.txt"; // file names in a result have at most 31 characters

// Read what the task was given, write the report, and say which file is the result.
function main() {
  const title = process.argv.slice(2).join(" ") || "Hello from the enclave";
  const parts = [title, "=".repeat(title.length), ""].concat(
    datasetReports(), [""], inputReport(), [""], secretReport());

  fs.mkdirSync(OUTPUT, { recursive: true });
  const result = path.join(OUTPUT, RESULT);
  fs.writeFileSync(result, parts.join("\n") + "\n");

  // Without this file the task fails. The path goes into the hash that the workers agree on, so a result that
  // differs from run to run (a time, a random number) has no place in it.
  const computed = { "deterministic-output-path": result };
  fs.writeFileSync(path.join(OUTPUT, "computed.json"), JSON.stringify(computed));

  // What an app prints can be read by the worker and the workerpool: never print data.
  console.log(`wrote ${RESULT} with ${parts.length} lines`);
}

// A report on the dataset, or on each that a task of bulk processing has.
function datasetReports() {
  const count = Number(process.env.IEXEC_BULK_SLICE_SIZE || 0);
  const names = [process.env.IEXEC_DATASET_FILENAME || ""];
  for (let number = 1; number <= count; number += 1) names.push(process.env[`IEXEC_DATASET_${number}_FILENAME`]);
  // Without a dataset iExec names the zero address.
  const reports = names.filter((name) => !/^(0x0{40})?$/.test(name)).map(datasetReport);
  if (!reports.length) return ["No dataset was given."];
  return reports.reduce((all, report) => all.concat([""], report));
}

// A table from a dataset: averages, or its size when it is no such table.
function datasetReport(name) {
  const text = fs.readFileSync(path.join(INPUT, name), "utf8");
  const lines = text.split(/\r?\n/).filter((line) => line !== "");
  const rows = lines.map((line) => line.split(","));
  const averages = averageByGroup(rows);
  if (averages === null) return [`Dataset: ${lines.length} lines, ${text.length} characters.`];
  const [group, value] = rows[0].slice(-2);
  return [table([[group, "people", `average ${value}`]].concat(averages), { align: ["l", "r", "r"] })];
}

// [group, count, average] by the last column but one; null unless the last column holds numbers.
function averageByGroup(rows) {
  if (rows.length < 2 || rows[0].length < 2) return null;
  const groups = new Map();
  for (const row of rows.slice(1)) {
    const value = row[row.length - 1].trim();
    if (row.length !== rows[0].length || !/^-?[0-9]+(\.[0-9]+)?$/.test(value)) return null;
    const name = row[row.length - 2];
    groups.set(name, (groups.get(name) || []).concat(Number(value)));
  }
  return Array.from(groups.keys()).sort().map((name) => {
    const found = groups.get(name);
    return [name, found.length, (found.reduce((sum, one) => sum + one, 0) / found.length).toFixed(1)];
  });
}

// The input files: public ones, that the requester named by their URLs.
function inputReport() {
  const count = Number(process.env.IEXEC_INPUT_FILES_NUMBER || 0);
  const folder = process.env.IEXEC_INPUT_FILES_FOLDER || INPUT;
  const lines = [`Input files: ${count}`];
  for (let number = 1; number <= count; number += 1) {
    const file = path.join(folder, process.env[`IEXEC_INPUT_FILE_NAME_${number}`]);
    lines.push(`  ${number}: ${fs.statSync(file).size} bytes`);
  }
  return lines;
}

// Which secrets there are. Their values stay in the enclave: a result is no place for them either.
function secretReport() {
  const known = process.env.IEXEC_APP_DEVELOPER_SECRET ? ["the app developer's"] : [];
  for (const name of Object.keys(process.env).sort()) {
    if (name.startsWith("IEXEC_REQUESTER_SECRET_") && process.env[name]) {
      known.push(`the requester's number ${name.split("_").pop()}`);
    }
  }
  return [`Secrets: ${known.join(", ") || "none"}`];
}

main();
