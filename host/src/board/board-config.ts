/** What a board is told to be: its name, its broker's credentials, its interval (docs/wire.md, group 64, commands 1 and 2). */

import { z } from "zod";
import type { SmpClient } from "./smp-client.ts";
import { SmpGroup } from "./smp-error.ts";

const configAnswer = z
  .object({
    id: z.string().optional(),
    user: z.string().optional(),
    secret: z.boolean().optional(),
    interval: z.int().min(0).optional(),
    qos: z.int().min(0).max(2).optional(),
    profile: z.instanceof(Uint8Array).optional(),
    key: z.instanceof(Uint8Array).optional(),
  })
  .transform(({ id, user, secret, interval, qos, profile, key }) => ({
    clientId: id,
    userName: user,
    /** The password itself is never read back. */
    hasPassword: secret ?? false,
    intervalMs: interval,
    qos,
    /** SHA-256 of the profile's block, in hexadecimal. */
    profileSha256: profile === undefined ? undefined : Buffer.from(profile).toString("hex"),
    /** It takes only modules that are signed with its key. */
    hasKey: key !== undefined,
    /** SHA-256 of that key as DER, as TLV 01 of an image has it. */
    keyHash: key,
  }));

/** What is undefined is not set. */
export type BoardConfig = z.output<typeof configAnswer>;

/** `null` erases; what is absent stays. */
export interface ConfigChanges {
  /** 1 to 64 bytes. */
  readonly clientId?: string | null;
  readonly userName?: string | null;
  readonly password?: string | Uint8Array | null;
  readonly intervalMs?: number | null;
  /** 0 to 2. */
  readonly qos?: number | null;
  /** The block of docs/profiles.md, at most 1,024 bytes. */
  readonly profile?: Uint8Array | null;
}

export function readConfig(smp: SmpClient): Promise<BoardConfig> {
  return smp.request({
    what: "tell its configuration",
    operation: "read",
    group: SmpGroup.Wasmqtt,
    command: 1,
    answer: configAnswer,
  });
}

/** The board restarts its module at once. */
export async function writeConfig(smp: SmpClient, changes: ConfigChanges): Promise<void> {
  const { clientId, userName, password, intervalMs, qos, profile } = changes;
  await smp.request({
    what: "change its configuration",
    remedy: "See what a value may be: wasmqtt config set --help",
    operation: "write",
    group: SmpGroup.Wasmqtt,
    command: 1,
    body: { id: clientId, user: userName, pass: password, interval: intervalMs, qos, profile },
    answer: z.looseObject({}),
  });
}

/** Gives the board the Ed25519 public key (32 bytes) that modules must be signed with from now on. */
export async function writeKey(smp: SmpClient, publicKey: Uint8Array): Promise<void> {
  await smp.request({
    what: "take a key",
    remedy: "A board keeps its first key: only erasing its whole flash takes it away",
    operation: "write",
    group: SmpGroup.Wasmqtt,
    command: 2,
    body: { key: publicKey },
    answer: z.looseObject({}),
  });
}
