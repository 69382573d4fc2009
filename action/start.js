// Becomes the stack-agent of this platform. All that matters is in that program (agent/commands/github_*.c).
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { spawn } = require("node:child_process");

const architectures = { x64: "x86_64", arm64: "aarch64" };

function findAgent() {
  const given = process.env["INPUT_AGENT-PATH"];
  if (given) return path.resolve(given);
  const platform = `${process.platform}-${architectures[process.arch] ?? process.arch}`;
  return path.join(__dirname, "..", "bin", platform, "stack-agent");
}

function fail(file, reason) {
  const text =
    `there is no stack-agent for ${process.platform} on ${process.arch} to run (${file}: ${reason}). ` +
    "The action brings it for Linux on x86_64 and aarch64: use such a runner, a released version of the action, " +
    "or name a program that you built with the input `agent-path`";
  const escaped = text.replace(/%/g, "%25").replace(/\r/g, "%0D").replace(/\n/g, "%0A");
  process.stdout.write(`::error title=stack-agent::${escaped}\n`);
  process.exitCode = 69;
}

// Where node cannot become another program, it passes on what the runner tells it, and says how the agent ended.
function startBeside(file, words) {
  const watch = process.ppid > 0 && words[1] === "main" ? ["--watch", String(process.ppid)] : [];
  const child = spawn(file, [...words, ...watch], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(file, error.code));
  child.on("exit", (code) => (process.exitCode = code ?? 70));
}

module.exports = (stage) => {
  const file = findAgent();
  const words = ["github", stage];
  try {
    fs.accessSync(file, fs.constants.X_OK);
  } catch (error) {
    return fail(file, error.code);
  }
  if (process.execve) process.execve(file, [file, ...words], process.env);
  startBeside(file, words);
};
