/** Certificates for TLS tests, made at test time by the `openssl` command line: the sources hold no keys. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate and its private key: their PEM bytes, and the files that hold them. */
export interface Identity {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate authority in a directory of its own. */
export interface Pki {
  readonly ca: Identity;
  /** Issues a certificate for two days. `alternativeNames` as in `DNS:localhost,IP:127.0.0.1`. */
  issue(name: string, alternativeNames: string): Identity;
  /** Deletes the directory with all keys. */
  remove(): void;
}

/** Makes an authority. Needs `openssl` (1.1.1 or newer). */
export function createPki(): Pki {
  const directory = mkdtempSync(join(tmpdir(), "wasmqtt-pki-"));
  const ca = identityIn(directory, "ca");
  openssl([
    ...requestFor("ca", ca.keyFile),
    "-x509",
    "-days",
    "2",
    "-addext",
    "keyUsage=critical,keyCertSign",
    "-out",
    ca.certFile,
  ]);
  let serial = 1;
  return {
    ca: read(ca),
    issue(name, alternativeNames) {
      const files = identityIn(directory, `${serial}-${name}`);
      const requestFile = `${files.certFile}.request`;
      const extensionsFile = `${files.certFile}.extensions`;
      writeFileSync(extensionsFile, `subjectAltName=${alternativeNames}\n`);
      openssl([...requestFor(name, files.keyFile), "-out", requestFile]);
      openssl([
        ...["x509", "-req", "-in", requestFile, "-extfile", extensionsFile],
        ...["-CA", ca.certFile, "-CAkey", ca.keyFile, "-set_serial", `${++serial}`],
        ...["-days", "2", "-out", files.certFile],
      ]);
      return read(files);
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function requestFor(name: string, keyFile: string): string[] {
  return [
    ...["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    ...["-nodes", "-subj", `/CN=${name}`, "-keyout", keyFile],
  ];
}

function identityIn(directory: string, name: string) {
  return { certFile: join(directory, `${name}.pem`), keyFile: join(directory, `${name}.key.pem`) };
}

function read(files: { certFile: string; keyFile: string }): Identity {
  return { ...files, cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) };
}

function openssl(args: string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
}
