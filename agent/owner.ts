/** The owner's endpoint, which lodges what a device has signed with the registry. */
import { describeError, OperatingError } from './operating-error.ts';

const answerMsMax = 10_000;

/** POSTs `request` as JSON. Throws `config-invalid` for a URL that is none, `owner-away` for any answer but a 2xx. */
export async function sendToOwner(url: string, request: object): Promise<void> {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol) || parsed.username !== '') {
    const message = `--send: expected http://... or https://..., no password in it, got "${url}"`;
    throw new OperatingError('config-invalid', message, { retry: 'never' });
  }
  let status: number;
  try {
    const response = await fetch(parsed, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
      redirect: 'error',
      signal: AbortSignal.timeout(answerMsMax),
    });
    status = response.status;
    await response.body?.cancel();
  } catch (cause) {
    // fetch says "fetch failed"; the reason is one step further in.
    const why = describeError(cause instanceof Error && cause.cause !== undefined ? cause.cause : cause);
    throw new OperatingError('owner-away', `--send ${parsed.host}: ${why}`, { retry: 'later', cause });
  }
  if (status >= 200 && status < 300) return;
  const message = `--send ${parsed.host}: expected HTTP 200 to 299, got ${status}; what it was for is printed above`;
  throw new OperatingError('owner-away', message, { retry: 'later' });
}
