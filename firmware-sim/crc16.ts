/** CRC-16/MODBUS (Modbus over Serial Line V1.02 §6.2.2): polynomial 0xA001 reflected, from 0xFFFF. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xa001;
  }
  return crc;
}

/** The bytes with their CRC behind them, low byte first. */
export function appendCrc16(bytes: Uint8Array): Uint8Array {
  const crc = crc16(bytes);
  const framed = new Uint8Array(bytes.length + 2);
  framed.set(bytes);
  framed[bytes.length] = crc & 0xff;
  framed[bytes.length + 1] = crc >>> 8;
  return framed;
}
