/** Takes single files out of a Debian source package whose original archive has a known SHA-256. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Ed25519 in 10 KB of RV32 code, where libsodium's takes 29 KB; CC0. */
export const TINYSSH = {
  package: "tinyssh",
  version: "20230101-1",
  archive: "tinyssh_20230101.orig.tar.gz",
  sha256: "74a434389dd05bf421feb6b6fab241f763b78222750d21100bd81d9ba626b28c",
  folder: "tinyssh-20230101",
  files: [
    "LICENCE",
    ...["crypto_int64", "crypto_uint32", "crypto_uint64", "cleanup"].map(
      (name) => `crypto/${name}.h`,
    ),
    ...["crypto_hash_sha512", "crypto_verify_32", "verify", "uint32_pack", "uint32_unpack"].flatMap(
      (name) => [`crypto/${name}.c`, `crypto/${name}.h`],
    ),
    ...["fe", "fe25519", "ge25519", "sc25519"].flatMap((name) => [
      `crypto/${name}.c`,
      `crypto/${name}.h`,
    ]),
  ],
};

/**
 * Puts `source.files` into the folder `target`, without the folders they come from. Needs apt, and neither root nor a
 * change of its sources: those that the machine has are asked for source packages.
 * Throws if the archive is not the one that was pinned.
 */
export function bringDebianSource(source, target) {
  const folder = mkdtempSync(join(tmpdir(), "debian-source-"));
  try {
    const archive = download(source, folder);
    execFileSync("tar", ["-xzf", archive, "-C", folder]);
    mkdirSync(target, { recursive: true });
    for (const file of source.files) {
      copyFileSync(join(folder, source.folder, file), join(target, file.split("/").at(-1)));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function download(source, folder) {
  const sources = join(folder, "apt.sources");
  writeFileSync(sources, sourcesOfMachine());
  for (const name of ["lists/partial", "cache/archives/partial"]) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  const options = [
    "-q",
    `-oDir::Etc::SourceList=${sources}`,
    "-oDir::Etc::SourceParts=-",
    `-oDir::State::Lists=${join(folder, "lists")}`,
    `-oDir::Cache=${join(folder, "cache")}`,
    "-oAPT::Sandbox::User=",
  ];
  const run = (...words) =>
    execFileSync("apt-get", [...options, ...words], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
    });
  run("update");
  run("source", "--download-only", `${source.package}=${source.version}`);

  const archive = join(folder, source.archive);
  const sha256 = createHash("sha256").update(readFileSync(archive)).digest("hex");
  if (sha256 !== source.sha256) {
    throw new Error(`${source.archive} has the SHA-256 ${sha256} instead of ${source.sha256}`);
  }
  return archive;
}

const ETC_APT = "/etc/apt";

/** What the machine takes its binary packages from, for source packages; in the one format (deb822). */
function sourcesOfMachine() {
  const parts = join(ETC_APT, "sources.list.d");
  const files = existsSync(parts) ? readdirSync(parts) : [];
  const stanzas = files
    .filter((name) => name.endsWith(".sources"))
    .flatMap((name) => readFileSync(join(parts, name), "utf8").split(/\n\s*\n/));
  const lines = [join(ETC_APT, "sources.list"), ...files.map((name) => join(parts, name))]
    .filter((path) => path.endsWith(".list") && existsSync(path))
    .flatMap((path) => readFileSync(path, "utf8").split("\n"));
  return [...stanzas.map(forSources), ...lines.map(stanzaOf)].filter(Boolean).join("\n\n");
}

function forSources(stanza) {
  return /^Types:.*\bdeb\b/m.test(stanza)
    ? stanza.replace(/^Types:.*$/m, "Types: deb-src").trim()
    : "";
}

/** `deb [signed-by=KEY] URI SUITE COMPONENT...` */
function stanzaOf(line) {
  const found =
    /^deb\s+(?:\[(?<options>[^\]]*)\]\s+)?(?<uri>\S+)\s+(?<suite>\S+)\s+(?<components>.*)$/.exec(
      line,
    );
  if (found === null) return "";
  const { options, uri, suite, components } = found.groups;
  const key = /signed-by=(\S+)/.exec(options ?? "");
  return [
    "Types: deb-src",
    `URIs: ${uri}`,
    `Suites: ${suite}`,
    `Components: ${components}`,
    ...(key === null ? [] : [`Signed-By: ${key[1]}`]),
  ].join("\n");
}
