// Asks the API. A request begins only after the last one has ended, and a hidden page asks nothing.
import { at } from './dom.js';

export async function ask(path) {
  const answer = await fetch(`../${path}`, { headers: { Accept: 'application/json' }, cache: 'no-store' });
  if (!answer.ok) throw new Error(`/${path.split('?')[0]} answered ${answer.status}`);
  return answer.json();
}

// The text of an answer, to see whether it has changed before it is read.
export async function askText(path) {
  const answer = await fetch(`../${path}`, { headers: { Accept: 'application/json' }, cache: 'no-store' });
  if (!answer.ok) throw new Error(`/${path} answered ${answer.status}`);
  return answer.text();
}

// Asks for something that may not exist.
export async function askMaybe(path) {
  const answer = await fetch(`../${path}`, { headers: { Accept: 'application/json' }, cache: 'no-store' });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error((await answer.text()).slice(0, 300) || `/${path.split('?')[0]} answered ${answer.status}`);
  return answer.json();
}

export function repeat(everyMillis, work) {
  let timer = null, ended = false, running = false;
  const turn = async () => {
    clearTimeout(timer);
    if (running || ended) return;
    if (!document.hidden) {
      running = true;
      try {
        await work();
        at('trouble').hidden = true;
      } catch (error) {
        if (!ended) {
          at('trouble').textContent = `What you see may be old: ${error.message}. Trying again.`;
          at('trouble').hidden = false;
        }
      }
      running = false;
    }
    if (!ended) timer = setTimeout(turn, everyMillis);
  };
  const onVisible = () => turn();
  document.addEventListener('visibilitychange', onVisible);
  turn();
  return () => { ended = true; clearTimeout(timer); document.removeEventListener('visibilitychange', onVisible); };
}
