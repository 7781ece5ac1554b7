/**
 * wire/ runs unchanged in a browser: headless Chromium loads its modules as they are built and verifies an
 * envelope and a bundle, and opens what is private in it.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { bytesToHex, cargoProbe, channels, deriveHpkeKey } from '@coldproof/wire';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { cancelOrder, openDesk } from '../oracle/api-fixture.ts';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const chromium = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const skip = existsSync(chromium) || process.env['CI'] === 'true' ? false : `${chromium} is absent: set CHROMIUM`;

const device = new VoyageDevice(3);
const envelope = device.sealEncoded([regularSeries(cargoProbe(1), 1_767_225_600, [487, 812, -1_850])]);

const party = deriveHpkeKey(new Uint8Array(32).fill(7));
const privacy = {
  groups: [{ channels: [channels.latitude, channels.longitude], parties: [party.publicKey] }],
  secret: new Uint8Array(32).fill(8),
};

/** The bundle stands in the page: what it holds is hex, digits and plain words. */
const pageOf = (bundle: string) => `<!doctype html><title>wire</title><pre id="verdicts">not run</pre>
<script type="application/json" id="bundle">${bundle}</script>
<script type="importmap">{"imports": {
  "@coldproof/wire": "/wire/dist/index.js",
  "@noble/ciphers/": "/node_modules/@noble/ciphers/",
  "@noble/curves/": "/node_modules/@noble/curves/",
  "@noble/hashes/": "/node_modules/@noble/hashes/"
}}</script>
<script type="module">
import * as wire from '@coldproof/wire';
const publicKey = wire.hexToBytes('${bytesToHex(device.publicKey)}');
const bytes = wire.hexToBytes('${bytesToHex(envelope)}');
const verdict = (bytes) => {
  const decoded = wire.decodeEnvelope(bytes);
  const opened = decoded.ok ? wire.openEnvelope(decoded.value) : decoded;
  if (!opened.ok) return opened.reason;
  const verified = wire.verifyEnvelope(decoded.value, publicKey);
  return verified.ok ? opened.value.series[0].samples.map((each) => each.value).join(' ') : verified.reason;
};
const flipped = Uint8Array.from(bytes);
flipped[140] ^= 1; // in r
const bundle = document.getElementById('bundle').textContent;
const report = (text) => {
  const failed = wire.verifyBundle(text).checks.filter((each) => !each.verdict.ok);
  return failed.length === 0 ? 'sound' : failed.map((each) => each.verdict.reason).join(' ');
};
const forged = bundle.replace('"peakCentiC":905', '"peakCentiC":705');
const partySecret = wire.hexToBytes('${bytesToHex(party.secretKey)}');
const { opened } = wire.verifyBundle(bundle, wire.referenceCrypto, { partySecret });
const places = opened.map(({ series }) => series.map(({ samples }) => samples[0].value).join(' '));
const verdicts = [verdict(bytes), verdict(flipped), report(bundle), report(forged), places[3]];
document.getElementById('verdicts').textContent = verdicts.join('; ');
</script>`;

t.test('headless Chromium verifies an envelope and a bundle, and refuses a change in either', { skip }, async (t) => {
  const desk = await openDesk(t, { privacy });
  cancelOrder(desk);
  const page = pageOf((await desk.get('/api/v1/shipments/7/bundle')).text);
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const isModule = path.endsWith('.js') && existsSync(join(repository, path));
    if (path !== '/' && !isModule) return response.writeHead(404).end();
    response.setHeader('content-type', isModule ? 'text/javascript' : 'text/html; charset=utf-8');
    return response.end(isModule ? readFileSync(join(repository, path)) : page);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const profile = mkdtempSync(join(tmpdir(), 'coldproof-chromium-'));
  t.teardown(() => {
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];
  const more = ['--disable-component-update', '--disable-sync', '--disable-quic', `--user-data-dir=${profile}`];
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const { stdout } = await promisify(execFile)(chromium, [...flags, ...more, '--dump-dom', url], { timeout: 60_000 });
  t.equal(
    /<pre id="verdicts">([^<]*)</.exec(stdout)?.[1],
    '487 812 -1850; signature-invalid; sound; excursion-misstated seal-invalid; 52100000 4300000',
  );
});
