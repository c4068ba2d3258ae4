// The browser's dialogue for passkeys, on pages that offer one: a form that asks for
// a passkey (get) or makes one (create), or the button beside the fields of a
// sign-in page (alone). What the dialogue answers is sent as an ordinary form. It is a
// part of the one script of every page (pageScript in assets.go).

const ask = document.querySelector('[data-ceremony]');
const said = document.querySelector('[data-said]');
const form = ask?.form ?? ask;
const supported = Boolean(globalThis.PublicKeyCredential && navigator.credentials);

// Options and answers are JSON, their bytes base64url (WebAuthn L3 §5.1.8, §5.1.9).
// By hand: browsers of two years ago have no functions for it.
const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const withID = (one) => ({ ...one, id: bytes(one.id) });

const toOptions = ({ challenge, user, allowCredentials, excludeCredentials, ...rest }) => ({
  ...rest,
  challenge: bytes(challenge),
  ...user && { user: withID(user) },
  ...allowCredentials && { allowCredentials: allowCredentials.map(withID) },
  ...excludeCredentials && { excludeCredentials: excludeCredentials.map(withID) },
});

const parts = ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle'];

const toAnswer = (made) => JSON.stringify({
  id: made.id,
  rawId: text(made.rawId),
  type: made.type,
  authenticatorAttachment: made.authenticatorAttachment ?? undefined,
  clientExtensionResults: made.getClientExtensionResults(),
  response: {
    transports: made.response.getTransports?.(),
    ...Object.fromEntries(parts.filter((part) => made.response[part]).map((part) => [part, text(made.response[part])])),
  },
});

// A dialogue that ends without an answer leads back to the choice where a passkey
// was to be made, and is told on the page elsewhere. That another dialogue took its
// place is nothing to tell.
const tell = (sentence = '') => {
  said.textContent = sentence;
  said.hidden = sentence === '';
};
const fail = ({ name }) => {
  if (name === 'AbortError') return;
  const why = { NotAllowedError: 'cancelled', InvalidStateError: 'known' }[name] ?? 'unable';
  const back = form.querySelector('[name=do][value=back]');
  if (!back) return tell(ask.dataset[why] ?? ask.dataset.unable);
  back.value = why;
  form.requestSubmit(back);
};

// A challenge lasts five minutes on the server. It is not used near its end: a
// passkey that was made too late would stay behind in the authenticator.
const lasts = 240_000;
let options;
let since = 0;

const asPage = async (request) => {
  const answer = await fetch(form.action, request);
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  return JSON.parse(page.querySelector('[data-options]')?.dataset.options ?? 'null');
};
const renew = {
  get: () => asPage({}),
  create: () => {
    const body = new URLSearchParams(new FormData(form));
    body.delete('response');
    return asPage({ method: 'POST', body });
  },
  alone: async () => (await fetch('/sign-in/passkey', { method: 'POST' })).json(),
};

const fresh = async () => {
  if (Date.now() - since > lasts) {
    options = await renew[ask.dataset.ceremony]() ?? options;
    since = Date.now();
    tabs.postMessage(since);
  }
  return toOptions(options);
};

// The browser keeps one challenge: another tab's takes the place of this one's.
const tabs = ask && new BroadcastChannel('passkey');
tabs?.addEventListener('message', () => { since = 0; });

// Busy is the page from the click on, and once it has sent an answer until it goes:
// another offer's would take the place of that answer.
let busy = false;
const send = (made) => {
  busy = true;
  form.elements.response.value = toAnswer(made);
  form.submit();
};
const open = async (method) => {
  if (busy) return;
  busy = true;
  if (said) tell();
  try {
    send(await navigator.credentials[method]({ publicKey: await fresh() }));
  } catch (error) {
    busy = false;
    fail(error);
  }
};
addEventListener('pageshow', ({ persisted }) => { // back in history, its challenge used
  if (!persisted) return;
  busy = false;
  since = 0;
});

// In the field of the address the browser offers passkeys among addresses, until
// the person chooses one of them or does something else.
let waiting = new AbortController();
const offer = async () => {
  if (busy || document.hidden) return;
  waiting.abort();
  waiting = new AbortController();
  const { signal } = waiting;
  try {
    send(await navigator.credentials.get({ publicKey: await fresh(), mediation: 'conditional', signal }));
  } catch {
    // Nothing was asked for, so there is nothing to say.
  }
};

if (ask && ask === form) {
  options = JSON.parse(ask.dataset.options);
  since = Date.now();
  tabs.postMessage(since);
  form.addEventListener('submit', (event) => {
    if (event.submitter?.name === 'do') return; // another language, or back
    event.preventDefault();
    open(ask.dataset.ceremony);
  });
} else if (ask && supported) {
  const offers = await PublicKeyCredential.isConditionalMediationAvailable?.().catch(() => false);
  ask.hidden = false;
  ask.addEventListener('click', async (event) => {
    event.preventDefault();
    waiting.abort();
    await open('get');
    if (offers) offer();
  });
  if (offers) {
    offer();
    setInterval(offer, lasts + 1000);
    document.addEventListener('visibilitychange', () => { if (since === 0) offer(); });
  }
}

// A passkey that is unknown or was removed here need not be offered any more.
for (const { dataset: { signal, details } } of document.querySelectorAll('[data-signal]')) {
  globalThis.PublicKeyCredential?.[signal]?.(JSON.parse(details)).catch(() => {});
}
