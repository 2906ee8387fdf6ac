/** A mosquitto in a process of its own on a loopback port, that refuses nobody and drops nothing. */

import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const ATTEMPT_COUNT = 100;
const ATTEMPT_MS = 50;

/** Its configuration, with `lines` at its end, is written into `folder`. `stop` answers when it has ended. */
export async function startMosquitto(folder, lines = []) {
  const port = await freePort();
  const path = join(folder, "mosquitto.conf");
  writeFileSync(path, `${[...configuration(port), ...lines].join("\n")}\n`);
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const broker = spawn("mosquitto", ["-c", path], { stdio: "ignore", env });
  const ended = new Promise((resolve, reject) =>
    broker.once("close", resolve).once("error", reject),
  );
  const kill = () => broker.kill("SIGKILL");
  process.once("exit", kill);
  const stop = () => {
    process.off("exit", kill);
    kill();
    return ended;
  };
  await Promise.race([
    listening(port),
    ended.then(() => Promise.reject(new Error("mosquitto has ended"))),
  ]);
  return { port, stop };
}

function configuration(port) {
  return [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    `user ${userInfo().username}`,
    "max_queued_messages 0",
    "log_type none",
  ];
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function listening(port) {
  for (let attempt = 0; attempt < ATTEMPT_COUNT; attempt++) {
    if (await accepts(port)) return;
    await sleep(ATTEMPT_MS);
  }
  throw new Error("mosquitto does not listen");
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
