import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { writeCopy } from "../../host/src/transport/send-buffer.ts";

const open: { destroy(): void }[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.destroy();
});

test.each([16, 80, 1024, 1025])(
  "messages of %i bytes arrive as they were when they were written, however slow the peer",
  async (length) => {
    const [slow, slowPeer] = await pair();
    const [quick, quickPeer] = await pair();
    slowPeer.pause();
    const written = { slow: [] as number[], quick: [] as number[] };
    const message = new Uint8Array(length);
    // Until the kernel takes nothing more of the slow one, and then some.
    for (let number = 0, beyond = 0; beyond < 20; number++) {
      if (slow.writableLength > 0) beyond++;
      writeCopy(slow, message.fill(number % 251));
      written.slow.push(number % 251);
      if (number % 50 > 0 && beyond === 0) continue;
      writeCopy(quick, message.fill(number % 241));
      written.quick.push(number % 241);
    }
    message.fill(255);
    slow.end();
    quick.end();
    expect(await firstBytes(slowPeer, length)).toEqual(written.slow);
    expect(await firstBytes(quickPeer, length)).toEqual(written.quick);
  },
);

test("a copy is made before it returns", async () => {
  const [client, peer] = await pair();
  const message = Uint8Array.of(1, 2, 3);
  writeCopy(client, message);
  message.fill(9);
  writeCopy(client, Uint8Array.of(4));
  client.end();
  expect(Buffer.concat(await peer.toArray())).toEqual(Buffer.of(1, 2, 3, 4));
});

async function pair(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1").setNoDelay(true);
  const [[peer]] = await Promise.all([once(server, "connection"), once(client, "connect")]);
  server.close();
  open.push(client, peer);
  return [client, peer];
}

/** Of each message one byte, when all of its bytes are the same. */
async function firstBytes(peer: Socket, length: number): Promise<number[]> {
  const bytes = Buffer.concat(await peer.toArray());
  const messages = Array.from({ length: bytes.length / length }, (_, index) =>
    bytes.subarray(index * length, (index + 1) * length),
  );
  return messages.map((each) => (each.every((byte) => byte === each[0]) ? Number(each[0]) : -1));
}
