/**
 * Brings the thermometer onto an emulated board, bridges the board to a broker, and prints three readings. Needs QEMU
 * (qemu-system-riscv32); with a board of your own, `serialLineAt("/dev/ttyUSB0", …)` takes the emulator's place.
 *
 *   node examples/board.ts mqtt://localhost board.flash
 */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MqttClient, openTransport, parseBrokerUrl, realWorld as world } from "wasmqtt";
import { Bridge, openBoard, serialLineAt, startEmulator, wrapModule } from "wasmqtt/board";

const [url = "mqtt://localhost", flashPath = "board.flash", elfPath] = process.argv.slice(2);
const emulator = await startEmulator({ world, flashPath, elfPath, socketPath: undefined });
const openLine = serialLineAt(emulator.devicePath, { platform: process.platform });

const module = readFileSync(fileURLToPath(import.meta.resolve("wasmqtt/thermometer.wasm")));
const image = wrapModule(module, { version: { major: 1, minor: 0, revision: 0, build: 0 } });
const board = await openBoard({ world, openLine });
await board.configure({ clientId: "example", intervalMs: 500 });
await board.upload(image.bytes);
await board.confirm(image.hash);
const info = await board.restart();
process.stdout.write(`${info.board} runs ${info.module.sha256}\n`);
await board.close();

const client = new MqttClient({ url });
await client.connect();
await client.subscribe("motes/example/telemetry");
const bridge = new Bridge({
  world,
  path: emulator.devicePath,
  openLine,
  openTransport: openTransport(parseBrokerUrl(url), world),
  tell: () => {},
});
let count = 0;
for await (const { payload } of client.messages()) {
  process.stdout.write(`${new TextDecoder().decode(payload)}\n`);
  if (++count === 3) break;
}
await bridge.stop();
await client.close();
await emulator.stop();
