/**
 * Brings the C sources that the board's firmware is built with and this repository does not contain into
 * firmware/board/third-party. What is there in the wanted version stays as it is.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bringDebianSource, TINYSSH } from "./debian-source.mjs";

const THIRD_PARTY = fileURLToPath(new URL("../firmware/board/third-party/", import.meta.url));

/** The interpreter, as a package for React Native carries it along; MIT. */
const WASM3 = {
  package: "react-native-webassembly@0.3.3",
  integrity:
    "sha512-wC8r/C6bHcWsNZmzES6vhMX1bao3JtG2FIVC9Un5kTn9EKQBN63qGVGMaD7ppe/vkzD8aPTfj9MKjsid4m7VRA==",
  files: [
    ...["code", "compile", "core", "env", "exec", "function", "info"].flatMap((name) => [
      `m3_${name}.c`,
      `m3_${name}.h`,
    ]),
    ...["m3_module.c", "m3_parse.c", "m3_config.h", "m3_config_platforms.h", "m3_exception.h"],
    ...["m3_exec_defs.h", "m3_math_utils.h", "wasm3.h", "wasm3_defs.h"],
  ],
};

/** `version` names exactly what is brought; `bring` fills an empty folder or throws. */
const SOURCES = [
  {
    name: "wasm3",
    version: [WASM3.package, WASM3.integrity, ...WASM3.files].join("\n"),
    bring: (folder) => bringNpmFiles(WASM3, "cpp", folder),
  },
  {
    name: "tinyssh",
    version: [TINYSSH.version, TINYSSH.sha256, ...TINYSSH.files].join("\n"),
    bring: (folder) => bringDebianSource(TINYSSH, folder),
  },
];

for (const source of SOURCES) provide(source);

function provide({ name, version, bring }) {
  const target = join(THIRD_PARTY, name);
  const stamp = join(target, ".version");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === version) return;

  mkdirSync(THIRD_PARTY, { recursive: true });
  const folder = mkdtempSync(join(THIRD_PARTY, `.${name}-`));
  try {
    bring(folder);
    writeFileSync(join(folder, ".version"), version);
    rmSync(target, { recursive: true, force: true });
    renameSync(folder, target);
    process.stderr.write(`board-sources: brought ${name} to ${target}\n`);
  } catch (error) {
    const output = error.stderr?.toString().trim() ?? "";
    process.stderr.write(`board-sources: ${name}: ${error.message}\n${output}\n`);
    process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `npm pack` downloads what the registry has under that name; what counts is its integrity. */
function bringNpmFiles({ package: name, integrity, files }, from, folder) {
  const work = mkdtempSync(join(tmpdir(), "npm-files-"));
  try {
    const packed = execFileSync("npm", ["pack", name, "--json", "--ignore-scripts"], {
      cwd: work,
      stdio: ["ignore", "pipe", "pipe"],
      shell: process.platform === "win32",
    });
    const archive = join(work, JSON.parse(packed.toString())[0].filename);
    const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
    if (found !== integrity)
      throw new Error(`${name} has the integrity ${found} instead of ${integrity}`);
    execFileSync("tar", ["-xzf", archive, "-C", work]);
    for (const file of files) copyFileSync(join(work, "package", from, file), join(folder, file));
    copyFileSync(join(work, "package", "LICENSE"), join(folder, "LICENSE"));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
