/**
 * `npm run brokers`: starts aedes, mosquitto and RabbitMQ, probes them, and writes docs/brokers.md from the reports.
 * Needs mosquitto and rabbitmq-server. Loads the TypeScript of test/support as the tests do.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { createViteServer } from "vitest/node";

const root = new URL("../", import.meta.url);
const pageFile = "docs/brokers.md";

const server = await createViteServer({
  configFile: false,
  logLevel: "error",
  server: { middlewareMode: true, watch: null, ws: false },
  optimizeDeps: { noDiscovery: true },
});
try {
  const brokers = await probeAll();
  writeFileSync(new URL(pageFile, root), page(brokers));
  for (const { name, report } of brokers) {
    const known = report.findings.filter(({ verdict }) => verdict !== "unknown").length;
    process.stdout.write(`${name}: ${known} of ${report.findings.length} questions answered\n`);
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
} finally {
  await server.close();
}

/** One after the other, so that none slows another down. */
async function probeAll() {
  const { startAedes, startMosquitto } = await server.ssrLoadModule("/test/support/brokers.ts");
  const { startRabbitMq } = await server.ssrLoadModule("/test/support/rabbitmq.ts");
  const aedesPackage = read("node_modules/aedes/package.json");
  return [
    await probeOne("aedes", startAedes, () => JSON.parse(aedesPackage).version),
    await probeOne("mosquitto", startMosquitto, ({ report }) => {
      const { got } = report.findings.find(({ id }) => id === "topic.sys");
      return /mosquitto version ([\d.]+)/.exec(got)?.[1];
    }),
    await probeOne("RabbitMQ", startRabbitMq, ({ broker }) => {
      return /Starting RabbitMQ ([\d.]+)/.exec(broker.log)?.[1];
    }),
  ];
}

async function probeOne(product, start, versionOf) {
  const { probing } = await server.ssrLoadModule("/test/support/probing.ts");
  const broker = await start();
  try {
    const { report, stderr } = await probing(broker.port);
    if (report.findings.some(({ verdict }) => verdict === "unknown")) process.stderr.write(stderr);
    return { name: `${product} ${versionOf({ report, broker })}`, report };
  } finally {
    await broker.stop();
  }
}

function page(brokers) {
  const names = brokers.map(({ name }) => name);
  const subjects = new Set(brokers[0].report.findings.map(({ subject }) => subject));
  const tables = [...subjects].map((subject) => table(subject, brokers));
  return `${introduction(names)}\n${tables.join("\n")}`;
}

function introduction([aedes, mosquitto, rabbitMq]) {
  return `# What brokers do

What ${aedes} (the broker that comes with this package), Debian's ${mosquitto} and ${rabbitMq} with its MQTT plugin do, each
with its own defaults. Nothing here is from their documents: \`npm run brokers\` starts all three, asks them with
\`wasmqtt probe\`, and writes this page. Ask yours:

    npx wasmqtt probe -h HOST          # -v tells what was done and what came back; --json for programs

**✗** marks what MQTT 3.1.1 forbids, in the clause of the last column. Everything else is right, or left to the broker.

## What it means for a fleet

- **RabbitMQ has no QoS 2.** A subscription to QoS 2 is granted QoS 1, and a message at QoS 2 is answered with PUBACK: it may
  arrive twice. \`wasmqtt run -q 2\` says so and ends, unless nobody observes; take \`-q 1\`.
- **A Will is not published by RabbitMQ when another client takes the place** of the one that left it, nor when the
  client breaks the protocol. \`wasmqtt run last-will-all-kinds\` counts those Wills as missing.
- **mosquitto loses messages at QoS 2 from who sends too many at once**: of 100 that go without waiting for an answer it
  acknowledges all and delivers 20. A client with at most 20 under way (ours: 16) is safe.
- **mosquitto keeps 1,000 messages for a client that is away** and throws away the others. \`max_queued_messages\` changes it.
- **Silent clients** are noticed after 1.5 times their keep alive by aedes. The others look only now and then: give a
  scenario a \`grace\` of some seconds.
- **Retained messages do not come with wildcards in RabbitMQ**: who subscribes to \`motes/+/status\` sees no device that
  was there before. A dot in a topic arrives there as a slash.
- **aedes and RabbitMQ acknowledge before they forward**: an acknowledged message need not be with its subscribers yet.
`;
}

/** Times depend on the machine: they are left out. */
function table(subject, brokers) {
  const [first] = brokers;
  const asked = first.report.findings.filter((finding) => finding.subject === subject);
  const rows = asked
    .filter(({ id }) => !id.startsWith("latency."))
    .map(({ id, question, clause }) => {
      const cells = brokers.map(({ report }) => cell(report.findings.find((one) => one.id === id)));
      return `| ${[question, ...cells, clause ?? ""].map(escaped).join(" | ")} |`;
    });
  const heads = ["Question", ...brokers.map(({ name }) => name), "Clause"];
  return [
    `## ${subject}\n`,
    `| ${heads.join(" | ")} |`,
    `|${heads.map(() => " --- |").join("")}`,
    ...rows,
    "",
  ].join("\n");
}

function cell({ verdict, found, got }) {
  if (verdict === "unknown") return `not found out: ${got}`;
  return verdict === "deviates" ? `**✗** ${found}` : found;
}

function escaped(text) {
  return text.replaceAll("|", "\\|").replaceAll("*", "\\*").replaceAll("\\*\\*✗\\*\\*", "**✗**");
}

function read(path) {
  return readFileSync(new URL(path, root), "utf8");
}
