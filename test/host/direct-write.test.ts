import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { writeDirectly } from "../../host/src/transport/direct-write.ts";
import { NO_DESCRIPTOR, TcpSocket } from "../../host/src/transport/tcp-socket.ts";

const open: { destroy(): void }[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.destroy();
});

/** As on Windows. */
class NamelessSocket extends TcpSocket {
  override get descriptor(): number {
    return NO_DESCRIPTOR;
  }
}

describe.each([
  { way: "by its descriptor", Kind: TcpSocket },
  { way: "by its stream", Kind: NamelessSocket },
])("a socket that is written to $way", ({ Kind }) => {
  test.each([16, 1024, 70_000])(
    "sends messages of %i bytes as they were when they were written, however slow the peer",
    async (length) => {
      const [slow, slowPeer] = await pair(Kind);
      const [quick, quickPeer] = await pair(Kind);
      slowPeer.pause();
      const written = { slow: [] as number[], quick: [] as number[] };
      const message = new Uint8Array(length);
      // Until the kernel takes nothing more of the slow one, and then some.
      for (let number = 0, beyond = 0; beyond < 20; number++) {
        if (slow.writableLength > 0) beyond++;
        writeDirectly(slow, message.fill(number % 251));
        written.slow.push(number % 251);
        if (number % 50 > 0 && beyond === 0) continue;
        writeDirectly(quick, message.fill(number % 241));
        written.quick.push(number % 241);
      }
      message.fill(255);
      slow.end();
      quick.end();
      expect(await firstBytes(slowPeer, length)).toEqual(written.slow);
      expect(await firstBytes(quickPeer, length)).toEqual(written.quick);
    },
  );

  test("answers false from the high-water mark on, and has drained when all is sent", async () => {
    const [client, peer] = await pair(Kind);
    peer.pause();
    const message = new Uint8Array(10_000);
    while (writeDirectly(client, message));
    expect(client.writableLength).toBeGreaterThanOrEqual(client.writableHighWaterMark);
    peer.resume();
    await once(client, "drain");
    expect(writeDirectly(client, message)).toBe(true);
  });

  test("ends with the error that the kernel has for a write", async () => {
    const [client, peer] = await pair(Kind);
    const closed = new Promise<NodeJS.ErrnoException>((resolve) => client.on("error", resolve));
    client.pause();
    peer.resetAndDestroy();
    await once(peer, "close");
    let takesMore = true;
    for (let count = 0; takesMore && count < 100; count++) {
      takesMore = writeDirectly(client, Uint8Array.of(1));
      await new Promise(setImmediate);
      if (client.destroyed) break;
    }
    expect(["ECONNRESET", "EPIPE"]).toContain((await closed).code);
    expect(client.destroyed).toBe(true);
    expect(writeDirectly(client, Uint8Array.of(1))).toBe(false);
  });
});

test("what is written first through the stream and then directly arrives in this order", async () => {
  const [client, peer] = await pair(TcpSocket);
  client.write("1");
  writeDirectly(client, Buffer.from("2"));
  client.cork();
  client.write("3");
  writeDirectly(client, Buffer.from("4"));
  client.uncork();
  writeDirectly(client, Buffer.from("5"));
  client.end();
  expect(String(Buffer.concat(await peer.toArray()))).toBe("12345");
});

test("a socket has no descriptor before it is connected and after it was destroyed", async () => {
  expect(new TcpSocket({}).descriptor).toBe(NO_DESCRIPTOR);
  for (const end of ["destroy", "resetAndDestroy"] as const) {
    const [client] = await pair(TcpSocket);
    expect(client.descriptor).toBeGreaterThan(2);
    client[end]();
    expect(client.descriptor).toBe(NO_DESCRIPTOR);
  }
});

test("a socket that was destroyed does not write to the one that has got its descriptor", async () => {
  const [dead] = await pair(TcpSocket);
  const { descriptor } = dead;
  dead.destroy();
  const heirs: Socket[][] = [];
  while (!heirs.flat().some((each) => descriptorOf(each) === descriptor)) {
    if (heirs.length === 20) throw new Error(`None of 20 pairs has got descriptor ${descriptor}`);
    heirs.push(await pair(TcpSocket));
  }
  expect(writeDirectly(dead, Buffer.from("B"))).toBe(false);
  for (const [client, peer] of heirs) {
    client?.end("A");
    peer?.end("A");
    expect(String(Buffer.concat((await peer?.toArray()) ?? []))).toBe("A");
    expect(String(Buffer.concat((await client?.toArray()) ?? []))).toBe("A");
  }
});

function descriptorOf(socket: Socket): number | undefined {
  return (socket as { _handle?: { fd?: number } })._handle?.fd;
}

async function pair(Kind: typeof TcpSocket): Promise<[TcpSocket, Socket]> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = new Kind({}).setNoDelay(true);
  client.connect((server.address() as AddressInfo).port, "127.0.0.1");
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
