'use strict';
// Applies the chosen colours before the first paint. Without a choice the system decides.
(() => {
  const KEY = 'ringway-theme';
  const root = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)');
  const stored = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const apply = () => { root.dataset.theme = stored() || (system.matches ? 'dark' : 'light'); };
  apply();
  system.addEventListener('change', apply);
  addEventListener('DOMContentLoaded', () => {
    const button = document.getElementById('theme');
    const label = () => { button.textContent = root.dataset.theme === 'dark' ? 'Light mode' : 'Dark mode'; };
    button.addEventListener('click', () => {
      const chosen = root.dataset.theme === 'dark' ? 'light' : 'dark';
      try { localStorage.setItem(KEY, chosen); } catch { /* The choice lasts until the page is closed. */ }
      root.dataset.theme = chosen;
      label();
    });
    system.addEventListener('change', label);
    label();
  });
})();
