/** Plays an ESP32 in download mode on a port: the ROM's protocol, the stub that is uploaded to it, and its flash. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { inflateSync } from "node:zlib";
import { SerialPort } from "serialport";

const Command = {
  MemBegin: 0x05,
  MemEnd: 0x06,
  MemData: 0x07,
  Sync: 0x08,
  WriteRegister: 0x09,
  ReadRegister: 0x0a,
  SpiAttach: 0x0d,
  ChangeBaud: 0x0f,
  DeflateBegin: 0x10,
  DeflateData: 0x11,
  DeflateEnd: 0x12,
  Md5: 0x13,
  SecurityInfo: 0x14,
  EraseFlash: 0xd0,
} as const;

const FLASH_LENGTH = 4 * 1024 * 1024;
/** Winbond, 4 MiB. */
const FLASH_ID = 0x1640ef;
const EFUSE_AT = 0x3ff5a000;
const SPI_W0_AT = 0x3ff42080;
const SPI_COMMAND_AT = 0x3ff42000;

export interface FakeEspRom {
  /** What a flash chip would hold now. */
  readonly flash: Buffer;
  /** Bytes of stub code that were uploaded. */
  readonly stubLength: number;
  /** Checksums of the protocol that did not fit. */
  readonly badChecksumCount: number;
  /** From now on each block that is written has a wrong bit. */
  isFlashBroken: boolean;
  close(): Promise<void>;
}

export async function fakeEspRom(path: string): Promise<FakeEspRom> {
  const port = new SerialPort({ path, baudRate: 115_200, autoOpen: false });
  port.on("error", () => {});
  port.open();
  await once(port, "open");
  return new Rom(port);
}

class Rom implements FakeEspRom {
  readonly flash = Buffer.alloc(FLASH_LENGTH, 0xff);
  stubLength = 0;
  badChecksumCount = 0;
  isFlashBroken = false;
  readonly #port: SerialPort;
  readonly #registers = new Map<number, number>([
    [0x40001000, 0x00f01d83], // says that it is an ESP32
    [EFUSE_AT + 4, 0x33445566],
    [EFUSE_AT + 8, 0x00001122],
    [EFUSE_AT + 12, 0x00008200],
    [0x3ff40014, 347], // 40 MHz / 115,200
  ]);
  #isStub = false;
  #frame: number[] | undefined;
  #isEscaped = false;
  #compressed: Buffer[] = [];
  #address = 0;

  constructor(port: SerialPort) {
    this.#port = port;
    port.on("data", (chunk: Buffer) => {
      for (const byte of chunk) this.#take(byte);
    });
  }

  async close(): Promise<void> {
    if (!this.#port.isOpen) return;
    await new Promise<void>((resolve) => this.#port.close(() => resolve()));
  }

  #take(byte: number): void {
    if (byte === 0xc0) {
      const frame = Buffer.from(this.#frame ?? []);
      this.#frame = [];
      if (frame.length < 8 || frame[0] !== 0) return;
      this.#frame = undefined;
      this.#obey(frame);
    } else if (byte === 0xdb) {
      this.#isEscaped = true;
    } else {
      const plain = byte === 0xdc ? 0xc0 : 0xdb;
      this.#frame?.push(this.#isEscaped ? plain : byte);
      this.#isEscaped = false;
    }
  }

  #obey(frame: Buffer): void {
    const command = frame.readUInt8(1);
    const body = frame.subarray(8);
    switch (command) {
      case Command.Sync:
        for (let count = 0; count < 8; count++) this.#answer(command, 0x20120707);
        return;
      case Command.ReadRegister:
        this.#answer(command, this.#read(body.readUInt32LE(0)));
        return;
      case Command.WriteRegister:
        this.#write(body.readUInt32LE(0), body.readUInt32LE(4));
        break;
      case Command.MemData:
      case Command.DeflateData:
        this.#checkSum(frame.readUInt8(4), body.subarray(16));
        if (command === Command.MemData) this.stubLength += body.readUInt32LE(0);
        else this.#compressed.push(Buffer.from(body.subarray(16)));
        break;
      case Command.MemEnd:
        this.#answer(command, 0);
        if (body.readUInt32LE(0) === 0) this.#startStub();
        return;
      case Command.DeflateBegin:
        this.#compressed = [];
        this.#address = body.readUInt32LE(12);
        break;
      case Command.DeflateEnd:
        this.#program();
        break;
      case Command.Md5:
        this.#answer(command, 0, this.#md5(body.readUInt32LE(0), body.readUInt32LE(4)));
        return;
      case Command.EraseFlash:
        this.flash.fill(0xff);
        break;
      case Command.MemBegin:
      case Command.SpiAttach:
      case Command.ChangeBaud:
        break;
      default:
        this.#answer(0xff, 0, Buffer.alloc(0), [1, 5]); // as the ROM does with what it does not know
        return;
    }
    this.#answer(command, 0);
  }

  #read(address: number): number {
    if (address === SPI_COMMAND_AT) return 0; // done at once
    if (address === SPI_W0_AT) return FLASH_ID;
    return this.#registers.get(address) ?? 0;
  }

  #write(address: number, value: number): void {
    this.#registers.set(address, value);
  }

  #checkSum(told: number, bytes: Uint8Array): void {
    if (bytes.reduce((sum, byte) => sum ^ byte, 0xef) !== told) this.badChecksumCount++;
  }

  #startStub(): void {
    this.#isStub = true;
    this.#send(Buffer.from("OHAI"));
  }

  #program(): void {
    if (this.#compressed.length === 0) return;
    const bytes = inflateSync(Buffer.concat(this.#compressed));
    this.#compressed = [];
    if (this.isFlashBroken) bytes[0] = (bytes[0] ?? 0) ^ 1;
    bytes.copy(this.flash, this.#address);
  }

  #md5(address: number, length: number): Buffer {
    this.#program(); // the stub has written everything before it answers
    const digest = createHash("md5").update(this.flash.subarray(address, address + length));
    return this.#isStub ? digest.digest() : Buffer.from(digest.digest("hex"));
  }

  #answer(command: number, value: number, data: Buffer = Buffer.alloc(0), status = [0, 0]): void {
    const body = Buffer.concat([data, Buffer.from(status)]);
    const header = Buffer.alloc(8);
    header.writeUInt8(1, 0);
    header.writeUInt8(command, 1);
    header.writeUInt16LE(body.length, 2);
    header.writeUInt32LE(value >>> 0, 4);
    this.#send(Buffer.concat([header, body]));
  }

  #send(bytes: Buffer): void {
    const out: number[] = [0xc0];
    for (const byte of bytes) {
      if (byte === 0xc0) out.push(0xdb, 0xdc);
      else if (byte === 0xdb) out.push(0xdb, 0xdd);
      else out.push(byte);
    }
    this.#port.write(Buffer.from([...out, 0xc0]));
  }
}
