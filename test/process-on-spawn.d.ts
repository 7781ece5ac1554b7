declare module 'process-on-spawn' {
  export function addListener(listener: (spawned: { env: Record<string, string | undefined> }) => void): void;
}
