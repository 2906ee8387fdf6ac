/** The scripted server of the tests: what a script says goes over a real socket, and its errors come out. */

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { hex, unhex } from "../support/bytes.ts";
import { type Conversation, scriptedServer } from "../support/scripted-server.ts";
import { connack, pingresp } from "../support/server-packets.ts";

const CONNECT = unhex("10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 74");

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
}

async function receive(socket: Socket, length: number): Promise<string> {
  const chunks: Buffer[] = [];
  while (Buffer.concat(chunks).length < length) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    chunks.push(chunk);
  }
  return hex(Buffer.concat(chunks));
}

test("a script sees packets, answers them, and sees the client go", async () => {
  const seen: string[] = [];
  const server = await scriptedServer(async (conversation) => {
    const { clientId } = await conversation.expect("CONNECT");
    seen.push(clientId);
    conversation.send(connack());
    await conversation.expect("PINGREQ");
    conversation.send(pingresp());
    await conversation.expectEnd();
    seen.push("end");
  });
  const socket = await dial(server.port);
  socket.write(CONNECT.subarray(0, 5));
  socket.write(CONNECT.subarray(5));
  expect(await receive(socket, 4)).toBe("20 02 00 00");
  socket.write(unhex("c0 00"));
  expect(await receive(socket, 2)).toBe("d0 00");
  socket.end();
  await once(socket, "close");
  await server.close();
  expect(seen).toEqual(["t", "end"]);
});

test("each connection has a conversation of its own, numbered from 0", async () => {
  const indexes: number[] = [];
  const server = await scriptedServer(async ({ index }) => {
    indexes.push(index);
  });
  const sockets = [await dial(server.port), await dial(server.port)];
  for (const socket of sockets) socket.destroy();
  await server.close();
  expect(indexes).toEqual([0, 1]);
});

/** Runs a script against a client that sends these bytes and gives the error of `close`. */
async function errorOf(
  script: (conversation: Conversation) => Promise<void>,
  bytes: Uint8Array,
): Promise<unknown> {
  const server = await scriptedServer(script);
  const socket = await dial(server.port);
  socket.on("error", () => socket.destroy());
  socket.end(bytes);
  await once(socket, "close");
  return server.close().then(
    () => undefined,
    (error: unknown) => error,
  );
}

test("a fault of the client, a wrong packet and a missing one come out of close", async () => {
  const expectPing = async (conversation: Conversation) => {
    await conversation.expect("PINGREQ");
    conversation.end();
  };
  const expectEnd = async (conversation: Conversation) => {
    await conversation.expectEnd();
    conversation.end();
  };
  expect(await errorOf(expectPing, unhex("36 00"))).toMatchObject({ name: "ClientFault" });
  expect(await errorOf(expectPing, CONNECT)).toMatchObject({
    message: "expected PINGREQ, got CONNECT",
  });
  expect(await errorOf(expectPing, new Uint8Array(0))).toMatchObject({
    message: "expected PINGREQ, got the end of the connection",
  });
  expect(await errorOf(expectEnd, CONNECT)).toMatchObject({
    message: "expected the end of the connection, got CONNECT",
  });
});

test("a script can end a connection in order and break it off", async () => {
  const server = await scriptedServer(async (conversation) => {
    if (conversation.index === 0) conversation.end();
    else conversation.reset();
  });
  const first = connect(server.port, "127.0.0.1");
  first.resume();
  await once(first, "end");
  const second = connect(server.port, "127.0.0.1");
  const [error] = (await once(second, "error")) as [NodeJS.ErrnoException];
  expect(error.code).toBe("ECONNRESET");
  await server.close();
});
