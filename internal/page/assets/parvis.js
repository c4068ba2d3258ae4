// What a browser with scripts adds to pages that work without any.

const all = (selector) => document.querySelectorAll(selector);
const byID = (id) => document.getElementById(id);

// A password can be shown. It is hidden again when sent, so that the browser
// takes it for what it is.
for (const button of all('.show')) {
  const input = byID(button.getAttribute('aria-controls'));
  const { show, hide } = button.dataset;
  const set = (shown) => {
    input.type = shown ? 'text' : 'password';
    button.textContent = shown ? hide : show;
  };
  button.addEventListener('click', () => {
    set(input.type === 'password');
    input.focus();
  });
  input.form.addEventListener('submit', () => set(false));
  set(false);
  button.hidden = false;
}

// A form is sent once: another click waits for the answer to the first. The server
// takes a second one within ten seconds for the same; by then, or when the page comes back
// from history, the form can be sent again.
const sent = new Set();
const release = () => {
  for (const button of all('[aria-busy]')) button.removeAttribute('aria-busy');
  sent.clear();
};

document.addEventListener('submit', (event) => {
  if (event.defaultPrevented) return; // a script sends it
  if (sent.has(event.target)) {
    event.preventDefault();
    return;
  }
  sent.add(event.target);
  event.submitter?.setAttribute('aria-busy', 'true');
  setTimeout(release, 10_000);
});
addEventListener('pageshow', release);

// The rules tick off while a new password is typed, told by the same Unicode
// categories as on the server. A line without a test here stays plain: only the
// server can say.
const classes = { digit: /\p{Nd}/u, lower: /\p{Ll}/u, upper: /\p{Lu}/u, special: /[^\p{L}\p{Nd}]/u };

for (const list of all('[data-rules-of]')) {
  const input = byID(list.dataset.rulesOf);
  const note = byID(`${input.id}-note`);
  const keeps = (rule, password) => {
    if (rule !== 'length') return classes[rule].test(password);
    const length = [...password].length;
    return length >= list.dataset.minimum && length <= list.dataset.maximum;
  };
  const lines = [...list.querySelectorAll('[data-rule]')]
    .filter(({ dataset: { rule } }) => rule === 'length' || rule in classes);
  const check = () => {
    const password = input.value.normalize('NFC');
    for (const line of lines) {
      const met = keeps(line.dataset.rule, password);
      line.className = met ? 'met' : 'open';
      line.querySelector('.unseen').hidden = !met;
    }
    const text = /[^ -~]/.test(password) ? note.dataset.text : '';
    if (note.textContent !== text) note.textContent = text;
  };
  input.addEventListener('input', check);
  check();
}

// One tick ticks all of that name. What is ticked is counted where a page says how many.
const prepareTicks = () => {
  for (const every of all('[data-all]')) every.hidden = false;
  for (const said of all('[data-ticked]')) {
    const boxes = [...said.closest('form').querySelectorAll('td [type=checkbox]')];
    const ticked = boxes.filter((box) => box.checked).length;
    const text = said.dataset.ticked.replace('{0}', ticked);
    if (said.textContent !== text) said.textContent = text;
    const every = document.querySelector('[data-all]');
    if (every) [every.checked, every.indeterminate] = [ticked > 0 && ticked === boxes.length, ticked > 0 && ticked < boxes.length];
  }
};

document.addEventListener('change', ({ target }) => {
  if (target.dataset.all) for (const box of all(`[name="${target.dataset.all}"]`)) box.checked = target.checked;
  if (target.type === 'checkbox') prepareTicks();
});
prepareTicks();
addEventListener('pageshow', prepareTicks); // the browser may bring ticks back

// A list is searched while one types: its part of the page is replaced by that of the answer, and
// the address says what is shown. Where anything else comes back, the browser goes there.
for (const form of all('[data-live]')) {
  const id = form.dataset.live;
  let waits;
  let asked;
  const search = async () => {
    const filled = [...new FormData(form)].filter(([, value]) => value !== '');
    const address = `${location.pathname}?${new URLSearchParams(filled)}`.replace(/\?$/, '');
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked;
    try {
      const answer = await fetch(address, { signal });
      const fresh = answer.redirected || !answer.ok ? null : new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById(id);
      if (signal.aborted) return;
      if (!fresh) {
        location.assign(address);
        return;
      }
      byID(id).replaceWith(document.adoptNode(fresh));
      history.replaceState(null, '', address);
      prepareTicks();
      writeTimes(byID(id));
    } catch (error) {
      if (error.name !== 'AbortError') location.assign(address);
    }
  };
  for (const button of form.querySelectorAll('button')) button.hidden = true; // Enter searches at once
  form.addEventListener('input', ({ target }) => {
    clearTimeout(waits);
    waits = setTimeout(search, target.type === 'search' ? 250 : 0);
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    clearTimeout(waits);
    search();
  });
}

// Recovery codes are copied, printed, or kept in a file that is made here: they are
// never asked of the server again.
for (const bar of all('[data-codes]')) {
  const { codes, file, title } = bar.dataset;
  const text = [title, '', ...[...byID(codes).querySelectorAll('code')].map((code) => code.textContent), ''].join('\r\n');
  const keep = {
    copy: () => navigator.clipboard.writeText(text),
    print: () => print(),
    file: () => {
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
      link.download = file;
      link.click();
      URL.revokeObjectURL(link.href);
    },
  };
  for (const button of bar.querySelectorAll('[data-keep]')) {
    button.hidden = button.dataset.keep === 'copy' && !navigator.clipboard;
    button.addEventListener('click', async () => {
      await keep[button.dataset.keep]();
      bar.querySelector('[role=status]').textContent = button.dataset.done ?? '';
    });
  }
  bar.hidden = false;
}

// What is to be typed elsewhere is copied by the button beside it.
for (const button of all('[data-copy]')) {
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(byID(button.dataset.copy).textContent);
    button.nextElementSibling.textContent = button.dataset.done;
  });
  button.hidden = !navigator.clipboard;
}

// Choosing a language changes the page at once.
for (const select of all('.language select')) {
  const button = select.parentElement.querySelector('button');
  select.addEventListener('change', () => button.click());
  button.hidden = true;
}

// Another region's page hands over behind the #, which no server sees, the e-mail address, in
// whichever field it was typed. It leaves the address bar at once.
const handed = ['email', 'organization'].map((name) => [name, new URLSearchParams(location.hash.slice(1)).get(name)]).filter(([, text]) => text !== null);
if (handed.length && (location.pathname.startsWith('/o/') || ['/sign-in', '/organization', '/forgot-password', '/forgot-organization'].includes(location.pathname))) {
  history.replaceState(null, '', location.pathname + location.search);
  for (const [name, text] of handed) {
    const input = document.querySelector(`#main input[name=${name}]`);
    if (input && !input.readOnly && input.value === '') input.value = text;
  }
  [...all('#main input')].find(({ value }) => value === '')?.focus();
}

// New people begin with the browser's time zone, which the server reads when they come in.
const { timeZone: own } = Intl.DateTimeFormat().resolvedOptions();
const secure = location.protocol === 'https:';
if (own) document.cookie = `${secure ? '__Host-' : ''}parvis-zone=${own}; path=/; samesite=lax${secure ? '; secure' : ''}`;

// Where no time zone was chosen, the browser's own stands first.
for (const select of all('[data-suggest-zone]')) {
  if ([...select.options].some(({ value }) => value === own)) select.value = own;
}

// A field's fault is gone with the first key: what it speaks of is not there any more.
for (const input of all('[aria-invalid=true]')) {
  input.addEventListener('input', () => {
    input.removeAttribute('aria-invalid');
    byID(`${input.id}-error`)?.remove();
  }, { once: true });
}

// Instants are written in the browser's time zone and in the page's language, the way
// it is written where the reader lives, and with the zone; unless the reader chose one.
const { lang, dataset: { timeZone: chosen } } = document.documentElement;
const locale = navigator.languages.find((tag) => tag.split('-')[0] === lang) ?? lang;

function writeTimes(within) {
  for (const time of chosen ? [] : within.querySelectorAll('time[datetime]')) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    time.title = time.textContent;
    if (time.closest('.people')) {
      time.textContent = new Intl.DateTimeFormat(locale, { dateStyle: 'medium' }).format(at); // the day is enough
      continue;
    }
    const style = { dateStyle: time.closest('table') ? 'medium' : 'long', timeStyle: 'short' };
    const zone = new Intl.DateTimeFormat(locale, { timeZoneName: 'short' }).formatToParts(at).find(({ type }) => type === 'timeZoneName');
    time.textContent = `${new Intl.DateTimeFormat(locale, style).format(at)} ${zone.value}`;
  }
}
writeTimes(document);

// The switcher and the deeds close like menus.
const menus = '.switcher, .deeds';
document.addEventListener('click', ({ target }) => {
  for (const details of all(menus)) details.open &&= details.contains(target);
});
document.addEventListener('keydown', ({ key, target }) => {
  const details = target.closest?.(menus);
  if (key !== 'Escape' || !details?.open) return;
  details.open = false;
  details.querySelector('summary').focus();
});

// A session that ends after a short rest says so a while before, and can be kept
// open with all that was typed. Its other tabs hear of it. Time is counted from when
// the page was asked for, so that its end is never told too late.
const idle = document.querySelector('.idle');

if (idle) {
  const [lasts, left, rest] = ['lasts', 'left', 'rest'].map((name) => Number(idle.dataset[name]));
  const { warning, final, over } = idle.dataset;
  const [text, said] = idle.querySelectorAll('p');
  const form = idle.querySelector('form');
  const began = Date.now() - performance.now();
  const last = began + rest; // nobody moves this one
  const tabs = new BroadcastChannel(form.action);
  let end = 0;
  let step;

  const inWords = (seconds) => {
    const [unit, count] = seconds > 90 ? ['minute', Math.ceil(seconds / 60)] : ['second', seconds];
    return new Intl.NumberFormat(lang, { style: 'unit', unit, unitDisplay: 'long' }).format(count);
  };
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    const quiet = end - Date.now() > Math.min(lasts / 4, 120_000);
    text.parentElement.hidden = quiet;
    const fixed = last - end < lasts / 10;
    form.hidden = seconds === 0 || fixed;
    const sentence = quiet ? '' : seconds === 0 ? over : (fixed ? final : warning).replace('{0}', inWords(seconds));
    if (text.textContent !== sentence) text.textContent = sentence;
    // Heard three times and at the end, not every second.
    const now = [quiet, seconds > 30, seconds > 10, seconds > 0].indexOf(true);
    if (step !== now) said.textContent = sentence;
    step = now;
  };
  const move = (to) => {
    end = to;
    tick();
  };
  tabs.addEventListener('message', ({ data }) => move(Math.max(end, data)));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const asked = Date.now();
    const answer = await fetch(form.action, { method: 'POST', redirect: 'manual' }).catch(() => undefined);
    if (answer?.type === 'opaqueredirect') move(asked); // it was over already
    if (answer?.status !== 204) return;
    move(Math.min(asked + lasts, last));
    tabs.postMessage(end);
  });
  move(Math.min(began + left, last));
  tabs.postMessage(end);
  setInterval(tick, Math.min(1000, lasts / 20));
}
