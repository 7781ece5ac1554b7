import t from 'tap';
import {
  cargoProbe,
  channelName,
  channels,
  faultValue,
  formatTopic,
  isTemperature,
  isWide,
  parseChannel,
  parseDemonstrationClock,
  formatDemonstrationClock,
  parseTopic,
  topicFilter,
  topicKinds,
  voyageMsAt,
} from '@coldproof/wire';

t.test('every channel has one name, and the name leads back', (t) => {
  const numbers = [...Object.values(channels), ...Array.from({ length: 16 }, (_, i) => cargoProbe(i + 1))];
  for (const channel of numbers) t.equal(parseChannel(channelName(channel)), channel, channelName(channel));
  t.equal(channelName(77), 'channel-77');
  for (const unknown of ['channel-77', 'cargo-probe-0', 'cargo-probe-17', 'supplyAir', '']) {
    t.equal(parseChannel(unknown), undefined, unknown);
  }
  t.throws(() => cargoProbe(17), { message: 'cargo probe: expected 1 <= n <= 16, got 17' });
  t.end();
});

t.test('widths and fault values', (t) => {
  t.equal(faultValue(channels.supplyAir), -32_768);
  t.equal(faultValue(channels.latitude), -2_147_483_648);
  t.same(Object.values(channels).filter(isWide), [
    channels.latitude,
    channels.longitude,
    channels.odometer,
    channels.readingsDropped,
  ]);
  t.same(Object.values(channels).filter(isTemperature), [1, 2, 3, 4, 16]);
  t.end();
});

t.test('topics: built and parsed, nothing else taken', (t) => {
  const device = new Uint8Array(32).fill(0xab);
  for (const kind of topicKinds) {
    t.same(parseTopic(formatTopic(device, kind)), { device, kind });
    t.equal(topicFilter(kind), `coldproof/v1/+/${kind}`);
  }
  const hex = 'ab'.repeat(32);
  const hostile = [
    `coldproof/v2/${hex}/batch`,
    `coldproof/v1/${hex.toUpperCase()}/batch`,
    `coldproof/v1/${hex}/batch/`,
  ];
  for (const topic of [
    ...hostile,
    `coldproof/v1/${hex}ab/batch`,
    `coldproof/v1/+/batch`,
    `coldproof/v1/${hex}/will`,
    '',
  ]) {
    t.equal(parseTopic(topic), undefined, topic);
  }
  t.end();
});

t.test('the demonstration clock', (t) => {
  const clock = { voyageStartMs: 1_767_225_600_000, realStartMs: 1_000, speed: 600 };
  t.same(parseDemonstrationClock(formatDemonstrationClock(clock)), clock);
  t.equal(voyageMsAt(clock, 1_500), 1_767_225_900_000, 'half a second is five minutes');
  for (const bad of ['', '1@2', '1@2x0', '1@2x3601', '1@2x-5', '1@2x1.5', 'a@2x3']) {
    t.equal(parseDemonstrationClock(bad), undefined, bad);
  }
  t.end();
});
