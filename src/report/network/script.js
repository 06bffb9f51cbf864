// Moves and enlarges the network of choices. No less-than sign and no ampersand may stand here: the page is XML as well.
(function () {
  'use strict';
  var map = document.getElementById('network-map');
  var bands = document.getElementById('network-bands');
  var tools = document.getElementById('network-tools');
  var panel = document.getElementById('network-panel');
  if (!map) { return; }
  var width = Number(bands.getAttribute('data-width'));
  var places = Array.prototype.slice.call(map.querySelectorAll('a.place'));
  var zoom = 1;
  var picked = -1;

  // Keeps the point (x, y) of the view where it is.
  function enlarge(to, x, y) {
    var next = Math.min(4, Math.max(0.1, to));
    var left = (map.scrollLeft + x) / zoom;
    var top = (map.scrollTop + y) / zoom;
    zoom = next;
    bands.classList.add('zoomed');
    bands.classList.toggle('far', 0.55 > zoom);
    bands.style.width = (width * zoom) + 'px';
    map.scrollLeft = left * zoom - x;
    map.scrollTop = top * zoom - y;
    said.textContent = Math.round(zoom * 100) + ' %';
  }
  function middle(to) { enlarge(to, map.clientWidth / 2, map.clientHeight / 2); }

  function pick(number, follow) {
    var place = places[number];
    if (!place) { return; }
    if (picked >= 0) { places[picked].classList.remove('picked'); }
    picked = number;
    place.classList.add('picked');
    var words = document.getElementById(place.getAttribute('href').slice(1));
    panel.textContent = '';
    if (words) {
      Array.prototype.forEach.call(words.childNodes, function (node) { panel.appendChild(node.cloneNode(true)); });
    }
    panel.hidden = false;
    if (follow) { bring(place); }
  }
  function bring(place) {
    var row = place.getBoundingClientRect();
    var view = map.getBoundingClientRect();
    map.scrollTop += row.top - view.top - (view.height - row.height) / 2;
    map.scrollLeft += row.left - view.left - Math.max(20, view.width - row.width - 20);
  }

  function button(words, title, act) {
    var made = document.createElement('button');
    made.type = 'button';
    made.textContent = words;
    made.title = title;
    made.setAttribute('aria-label', title);
    made.addEventListener('click', act);
    tools.appendChild(made);
  }
  button('\u2212', 'smaller', function () { middle(zoom / 1.25); });
  button('+', 'larger', function () { middle(zoom * 1.25); });
  button('1:1', 'natural size', function () { middle(1); });
  button('fit', 'as wide as the view', function () { enlarge(map.clientWidth / width, 0, 0); });
  button('\u2191', 'place before', function () { step(-1); });
  button('\u2193', 'next place', function () { step(1); });
  var wanted = document.createElement('input');
  wanted.type = 'search';
  wanted.placeholder = 'find words, a fork, imitator, taken back';
  wanted.setAttribute('aria-label', 'find in the network; Enter goes to the next');
  tools.appendChild(wanted);
  var said = document.createElement('span');
  said.className = 'aside';
  said.setAttribute('role', 'status');
  tools.appendChild(said);

  function step(by) {
    var next = Math.min(places.length - 1, Math.max(0, picked + by));
    pick(next, true);
    places[next].focus({ preventScroll: true });
  }

  var found = [];
  function look() {
    var words = wanted.value.trim().toLowerCase();
    found = [];
    places.forEach(function (place, number) {
      var hit = words !== '' ? place.getAttribute('data-words').includes(words) : false;
      place.classList.toggle('found', hit);
      if (hit) { found.push(number); }
    });
    bands.classList.toggle('looking', words !== '');
    said.textContent = words === '' ? '' : found.length + ' found';
    if (found.length > 0) { pick(found[0], true); }
  }
  wanted.addEventListener('input', look);
  wanted.addEventListener('keydown', function (event) {
    if (event.key !== 'Enter' || found.length === 0) { return; }
    event.preventDefault();
    var at = found.indexOf(picked) + (event.shiftKey ? found.length - 1 : 1);
    pick(found[at % found.length], true);
    said.textContent = (found.indexOf(picked) + 1) + ' of ' + found.length;
  });

  places.forEach(function (place, number) {
    place.addEventListener('focus', function () { pick(number, false); });
    place.addEventListener('click', function (event) {
      event.preventDefault();
      if (!dragged) { pick(number, false); }
    });
  });
  // A place named in the panel is one of the picture.
  panel.addEventListener('click', function (event) {
    var link = event.target.closest('a');
    if (!link) { return; }
    var number = places.findIndex(function (place) { return place.getAttribute('href') === link.getAttribute('href'); });
    if (number >= 0) { event.preventDefault(); pick(number, true); }
  });

  map.addEventListener('keydown', function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey) { return; }
    var acts = {
      '+': function () { middle(zoom * 1.25); },
      '=': function () { middle(zoom * 1.25); },
      '-': function () { middle(zoom / 1.25); },
      '0': function () { middle(1); },
      'n': function () { step(1); },
      'p': function () { step(-1); },
      '/': function () { wanted.focus(); }
    };
    if (acts[event.key]) { event.preventDefault(); acts[event.key](); }
  });
  map.addEventListener('wheel', function (event) {
    if (!event.ctrlKey) { return; }
    event.preventDefault();
    var view = map.getBoundingClientRect();
    enlarge(zoom * Math.exp(-event.deltaY / 300), event.clientX - view.left, event.clientY - view.top);
  }, { passive: false });

  // One pointer moves the picture (a finger does by itself), two enlarge it.
  var down = new Map();
  var dragged = false;
  function apart() {
    var two = Array.from(down.values());
    return Math.hypot(two[0].x - two[1].x, two[0].y - two[1].y);
  }
  map.addEventListener('pointerdown', function (event) {
    if (event.button !== 0) { return; }
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    dragged = false;
  });
  window.addEventListener('pointermove', function (event) {
    var last = down.get(event.pointerId);
    if (!last) { return; }
    var before = down.size === 2 ? apart() : 0;
    var dx = event.clientX - last.x;
    var dy = event.clientY - last.y;
    if (down.size === 1) {
      if (event.pointerType === 'mouse') {
        if (!dragged) {
          if (4 > Math.hypot(dx, dy)) { return; }
          dragged = true;
        }
        map.scrollLeft -= dx;
        map.scrollTop -= dy;
      }
    }
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (before > 0) {
      var view = map.getBoundingClientRect();
      enlarge(zoom * apart() / before, event.clientX - view.left, event.clientY - view.top);
    }
  });
  ['pointerup', 'pointercancel'].forEach(function (name) {
    window.addEventListener(name, function (event) { down.delete(event.pointerId); });
  });
  // Where there is room beside the picture, the first place is told there from the start.
  if (window.innerWidth > 800) { pick(0, false); }
  map.addEventListener('dragstart', function (event) { event.preventDefault(); });
})();
