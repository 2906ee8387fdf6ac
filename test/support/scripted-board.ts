/** A board for tests: answers SMP as docs/wire.md says, written plainly and apart from what it tests. */

import { createHash } from "node:crypto";
import { decode, encode } from "cborg";
import type { World } from "../../host/src/world.ts";
import type { TestCable } from "./test-cable.ts";

/** An Ed25519 key as DER SubjectPublicKeyInfo begins with this (RFC 8410, 4). */
const KEY_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** A map of SMP: what was asked, or what is answered. */
export type SmpMap = Record<string, unknown>;

interface Slot {
  bytes: Buffer;
  pending: boolean;
  confirmed: boolean;
  permanent: boolean;
}

interface Upload {
  length: number;
  sha: string;
  bytes: Buffer;
}

export interface ScriptedBoardOptions {
  /** Bytes of a slot. */
  readonly slotLength?: number;
  /** Of the flash: what is taken of an upload is a multiple of it, but at the end. */
  readonly wordLength?: number;
  readonly bufferLength?: number;
  readonly wireVersion?: number;
}

export class ScriptedBoard {
  readonly #cable: TestCable;
  readonly #world: World;
  readonly #options: ScriptedBoardOptions;
  readonly slots: (Slot | undefined)[] = [undefined, undefined];
  activeSlot = 0;
  upload: Upload | undefined;
  config: SmpMap = { id: "board-1", interval: 2_000, qos: 1 };
  key: Uint8Array | undefined;
  startCount = 0;
  resetReason = "power";
  /** Without power it neither hears nor says anything. */
  hasPower = true;
  /** How many requests of each "group/command" were answered. */
  readonly requestCounts = new Map<string, number>();
  /** Answers differently: its map, or "nothing" for none; undefined for the usual answer. */
  answerInstead: (group: number, command: number, map: SmpMap) => SmpMap | "nothing" | undefined =
    () => undefined;
  #startedAtMs = 0;
  #lineText = "";
  #packet: Buffer | undefined;

  constructor(world: World, cable: TestCable, options: ScriptedBoardOptions = {}) {
    this.#world = world;
    this.#cable = cable;
    this.#options = options;
    cable.onReceived = (bytes) => this.#receive(bytes);
    this.start("power");
  }

  /** As after its power came back: what was not written to flash is forgotten. */
  start(reason: string): void {
    this.hasPower = true;
    this.startCount++;
    this.resetReason = reason;
    this.#startedAtMs = this.#world.nowMs();
    this.#lineText = "";
    this.#packet = undefined;
    const other = 1 - this.activeSlot;
    if (this.slots[other]?.pending === true) this.activeSlot = other;
    for (const slot of this.slots) if (slot !== undefined) slot.pending = false;
    this.say(`started because of ${reason}`);
  }

  /** A line on the console. */
  say(text: string): void {
    if (this.hasPower) this.#cable.send(Buffer.from(`${text}\r\n`));
  }

  #receive(bytes: Uint8Array): void {
    if (!this.hasPower) return;
    this.#lineText += Buffer.from(bytes).toString("latin1");
    const lines = this.#lineText.split("\n");
    this.#lineText = lines.pop() ?? "";
    for (const line of lines) this.#takeLine(line);
  }

  #takeLine(line: string): void {
    const start = line.slice(0, 2);
    const piece = Buffer.from(line.slice(2), "base64");
    if (start === "\x06\x09") this.#packet = piece;
    else if (start === "\x04\x14" && this.#packet !== undefined)
      this.#packet = Buffer.concat([this.#packet, piece]);
    else return;
    if (this.#packet.length < 2) return;
    const length = this.#packet.readUInt16BE(0);
    if (this.#packet.length < 2 + length) return;
    const packet = this.#packet.subarray(2);
    this.#packet = undefined;
    if (packet.length === length && length >= 10 && crcOf(packet) === 0) this.#answer(packet);
  }

  #answer(packet: Buffer): void {
    const operation = packet.readUInt8(0);
    const group = packet.readUInt16BE(4);
    const command = packet.readUInt8(7);
    const map = decode(packet.subarray(8, -2)) as SmpMap;
    const name = `${group}/${command}`;
    this.requestCounts.set(name, (this.requestCounts.get(name) ?? 0) + 1);
    const isWrite = (operation & 7) === 2;
    const answer = this.answerInstead(group, command, map) ?? this.#obey(name, isWrite, map);
    if (answer !== "nothing") this.#sendAnswer(packet, encode(answer));
  }

  #sendAnswer(request: Buffer, map: Uint8Array): void {
    const content = Buffer.concat([request.subarray(0, 8), map]);
    content.writeUInt8(request.readUInt8(0) + 1, 0);
    content.writeUInt16BE(map.length, 2);
    const whole = Buffer.alloc(2 + content.length + 2);
    whole.writeUInt16BE(content.length + 2, 0);
    content.copy(whole, 2);
    whole.writeUInt16BE(crcOf(content), 2 + content.length);
    let lines = "";
    for (let at = 0; at < whole.length; at += 93) {
      const start = at === 0 ? "\x06\x09" : "\x04\x14";
      lines += `${start}${whole.subarray(at, at + 93).toString("base64")}\n`;
    }
    this.#cable.send(Buffer.from(lines, "latin1"));
  }

  #obey(name: string, isWrite: boolean, map: SmpMap): SmpMap {
    switch (name) {
      case "0/0":
        return { r: map["d"] };
      case "0/5":
        this.#world.setTimer(250, () => this.start("request"));
        return {};
      case "0/6":
        return { buf_size: this.#options.bufferLength ?? 1_152, buf_count: 1 };
      case "1/0":
        return isWrite ? this.#setState(map) : this.#state();
      case "1/1":
        return this.#takeUpload(map);
      case "1/5":
        this.slots[Number(map["slot"] ?? 1 - this.activeSlot)] = undefined;
        this.upload = undefined;
        return {};
      case "1/6":
        return this.#slotInfo();
      case "64/0":
        return this.#info();
      case "64/1":
        return isWrite ? this.#setConfig(map) : this.#readConfig();
      case "64/2":
        return this.#provision(map["key"] as Uint8Array);
      default:
        return { rc: 8 };
    }
  }

  #takeUpload(map: SmpMap): SmpMap {
    if (map["off"] === 0) {
      const refusal = this.#beginUpload(map);
      if (refusal !== undefined) return refusal;
    }
    const { upload } = this;
    const data = map["data"] as Uint8Array;
    if (upload === undefined || map["off"] !== upload.bytes.length) {
      return { off: upload?.bytes.length ?? 0 };
    }
    const room = upload.length - upload.bytes.length;
    if (data.length > room) return { rc: 3, rsn: "more than was announced" };
    const word = this.#options.wordLength ?? 4;
    const takenLength = data.length === room ? room : data.length - (data.length % word);
    upload.bytes = Buffer.concat([upload.bytes, data.subarray(0, takenLength)]);
    if (upload.bytes.length === upload.length) return this.#uploaded(upload);
    return { off: upload.bytes.length };
  }

  /** An upload that was begun goes on. */
  #beginUpload(map: SmpMap): SmpMap | undefined {
    const { len, sha } = map as { len?: number; sha?: Uint8Array };
    if (len === undefined || sha === undefined) return { rc: 3, rsn: "len is missing" };
    if (len > this.#slotLength) return { rc: 2, rsn: "the module is larger than a slot" };
    const shaHex = Buffer.from(sha).toString("hex");
    if (this.upload?.length === len && this.upload.sha === shaHex) return undefined;
    this.slots[1 - this.activeSlot] = undefined;
    this.upload = { length: len, sha: shaHex, bytes: Buffer.alloc(0) };
    return undefined;
  }

  #uploaded(upload: Upload): SmpMap {
    if (createHash("sha256").update(upload.bytes).digest("hex") !== upload.sha) {
      this.upload = undefined;
      return { rc: 9, rsn: "the SHA-256 is another one" };
    }
    const slot = { bytes: upload.bytes, pending: false, confirmed: false, permanent: false };
    this.slots[1 - this.activeSlot] = slot;
    return { off: upload.length };
  }

  get #slotLength(): number {
    return this.#options.slotLength ?? 65_536;
  }

  #slotInfo(): SmpMap {
    const slots = [0, 1].map((slot) => ({ slot, size: this.#slotLength }));
    return { images: [{ image: 0, slots, max_image_size: this.#slotLength }] };
  }

  #state(): SmpMap {
    const images = this.slots.flatMap((slot, index) => {
      if (slot === undefined) return [];
      const { pending, confirmed, permanent } = slot;
      const active = index === this.activeSlot;
      const hash = hashIn(slot.bytes);
      const version = `${slot.bytes[20]}.${slot.bytes[21]}.${slot.bytes.readUInt16LE(22)}`;
      const flags = { bootable: true, pending, confirmed, active, permanent };
      return [{ slot: index, version, hash, ...flags }];
    });
    return { images, splitStatus: 0 };
  }

  #setState(map: SmpMap): SmpMap {
    const { hash, confirm } = map as { hash?: Uint8Array; confirm?: boolean };
    const index =
      hash === undefined
        ? this.activeSlot
        : this.slots.findIndex(
            (slot) => slot !== undefined && Buffer.from(hash).equals(hashIn(slot.bytes)),
          );
    const slot = this.slots[index];
    if (slot === undefined) return { rc: 5, rsn: "no slot has this module" };
    if (confirm === true) slot.confirmed = true;
    if (index !== this.activeSlot) {
      slot.pending = true;
      slot.permanent = confirm === true;
    }
    return this.#state();
  }

  #readConfig(): SmpMap {
    const { pass, profile, ...config } = this.config;
    const sha = (bytes: unknown) =>
      createHash("sha256")
        .update(bytes as Uint8Array)
        .digest();
    return {
      ...config,
      secret: pass !== undefined,
      ...(this.key === undefined ? {} : { key: sha(Buffer.concat([KEY_PREFIX, this.key])) }),
      ...(profile === undefined ? {} : { profile: sha(profile) }),
    };
  }

  #setConfig(map: SmpMap): SmpMap {
    if (map["id"] === "") return { rc: 3, rsn: "id has 1 to 64 bytes" };
    for (const [key, value] of Object.entries(map)) {
      if (value === null) delete this.config[key];
      else this.config[key] = value;
    }
    return {};
  }

  #provision(key: Uint8Array): SmpMap {
    if (this.key !== undefined && !Buffer.from(this.key).equals(key)) {
      return { rc: 6, rsn: "there is a key already" };
    }
    this.key = key;
    return {};
  }

  #info(): SmpMap {
    const slot = this.slots[this.activeSlot];
    const length = slot?.bytes.readUInt32LE(12) ?? 0;
    const module = slot?.bytes.subarray(32, 32 + length);
    return {
      abi: 3,
      board: "scripted",
      runtime: "wasmqtt 0.1.0",
      engine: "none",
      uptime: Math.round(this.#world.nowMs() - this.#startedAtMs),
      reset: this.resetReason,
      wire: this.#options.wireVersion ?? 1,
      ram: { heap: 12_000, heapMax: 49_152, stack: 1_800, stackMax: 6_144 },
      link: "serial",
      module:
        module === undefined
          ? { state: "none" }
          : {
              slot: this.activeSlot,
              sha: createHash("sha256").update(module).digest(),
              size: length,
              state: "running",
              connected: true,
              up: 5,
              starts: 1,
              falls: 0,
              published: 7,
            },
    };
  }
}

/** What the container says: the value of type 0x10 behind the module. */
function hashIn(image: Buffer): Buffer {
  return image.subarray(32 + image.readUInt32LE(12) + 8).subarray(0, 32);
}

/** CRC-16/XMODEM, by the polynomial division that it is; 0 over bytes with their CRC behind them. */
function crcOf(bytes: Uint8Array): number {
  let remainder = 0;
  for (const byte of [...bytes, 0, 0]) {
    for (let mask = 0x80; mask > 0; mask >>= 1) {
      const bit = (byte & mask) === 0 ? 0 : 1;
      remainder = (remainder << 1) | bit;
      if (remainder > 0xffff) remainder = (remainder & 0xffff) ^ 0x1021;
    }
  }
  return remainder;
}
