/** `npm run fuzz`: hostile input for the compiled modules. Loads the TypeScript of test/fuzz as the tests do. */

import { createViteServer } from "vitest/node";

const server = await createViteServer({
  configFile: false,
  logLevel: "error",
  server: { middlewareMode: true, watch: null, ws: false },
  optimizeDeps: { noDiscovery: true },
});
try {
  const { fuzz } = await server.ssrLoadModule("/test/fuzz/main.ts");
  fuzz(process.argv.slice(2), (text) => process.stdout.write(`${text}\n`));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
} finally {
  await server.close();
}
