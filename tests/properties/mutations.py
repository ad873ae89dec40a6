"""A UDF that changes a document in drawn ways, in each language: both draw the same."""

from __future__ import annotations

PYTHON = """
KEPT = []

def double(number):
    try:
        return float(number)
    except OverflowError:
        return 1.7976931348623157e308 if number > 0 else -1.7976931348623157e308

def process(doc):
    state = doc["seed"]

    def draw(n):
        nonlocal state
        state = (state * 75 + 74) % 65537
        return state % n

    def containers(value):
        found = [value]
        for item in (list(value.values()) if isinstance(value, dict) else list(value)):
            if isinstance(item, (dict, list)):
                found += containers(item)
        return found

    def names(value):
        return [name for name in value if name != "seed"] if isinstance(value, dict) else list(range(len(value)))

    for _ in range(draw(4)):
        places = containers(doc)
        if len(places) > 300:
            break
        at = places[draw(len(places))]
        keys = names(at)
        action = draw(16)
        if action == 0:
            if isinstance(at, dict):
                at["new" + str(draw(3))] = [1, 2.5, "ü", None, True, "a\\"\\n\\u0001"][draw(6)]
            else:
                at.append("added")
        elif action == 1 and keys:
            del at[keys[draw(len(keys))]]
        elif action == 2 and isinstance(at, dict) and keys:
            key = keys[draw(len(keys))]
            value = at.pop(key)
            at[key] = value
        elif action == 3 and len(keys) > 1:
            one, two = keys[draw(len(keys))], keys[draw(len(keys))]
            at[one], at[two] = at[two], at[one]
        elif action == 4:
            # A child somewhere else, but in none of its own descendants.
            child = places[draw(len(places))]
            if not any(each is at for each in containers(child)):
                if isinstance(at, dict):
                    at["moved"] = child
                else:
                    at.append(child)
        elif action == 5 and keys:
            key = keys[draw(len(keys))]
            if isinstance(at[key], dict):
                at[key] = dict(at[key])
            elif isinstance(at[key], list):
                at[key] = list(at[key])
            elif isinstance(at[key], str):
                at[key] = (at[key] + "x")[:-1]
        elif action == 6 and isinstance(at, list):
            at.append(7)
            at.pop()
        elif action == 7:
            KEPT.append(at)
        elif action == 8 and KEPT:
            kept = KEPT[draw(len(KEPT)) if len(KEPT) < 5 else -1]
            if isinstance(kept, dict):
                kept["late"] = True
            else:
                kept.append("late")
        elif action == 9 and isinstance(at, list):
            at.reverse()
        elif action == 10:
            at.clear() if at is not doc else None
        elif action == 11 and isinstance(at, dict):
            # All members in another order.
            turned = list(at.items())[::-1]
            at.clear()
            at.update(turned)
        elif action == 12 and isinstance(at, list):
            del at[: len(at) // 2]
        elif action == 13 and isinstance(at, list) and at:
            at.append(at.pop(0))
        elif action == 14 and isinstance(at, list):
            at[:] = [dict(item) if isinstance(item, dict) else item for item in at][::-1]
        elif action == 15 and isinstance(at, list):
            numbers = [item for item in at if isinstance(item, (int, float)) and not isinstance(item, bool)]
            at[:] = sorted(numbers, key=double) + [item for item in at if not any(item is each for each in numbers)]
    if len(KEPT) > 20:
        del KEPT[:]
    return {**doc, "copied": 1} if draw(4) == 0 else doc
"""
JAVASCRIPT = """
const KEPT = []
const listed = Array.isArray
function process(doc) {
  let state = doc.seed
  const draw = n => { state = (state * 75 + 74) % 65537; return state % n }
  const containers = value => [value].concat(
    ...Object.values(value).filter(item => item !== null && typeof item === 'object').map(containers))
  const names = value => listed(value) ? value.map((_, n) => n) : Object.keys(value).filter(name => name !== 'seed')
  for (let turns = draw(4); turns > 0; turns--) {
    const places = containers(doc)
    if (places.length > 300) break
    const at = places[draw(places.length)], keys = names(at), action = draw(16)
    if (action === 0) {
      if (listed(at)) at.push('added')
      else { const value = [1, 2.5, 'ü', null, true, 'a"\\n\\u0001'][draw(6)]; at['new' + draw(3)] = value }
    } else if (action === 1 && keys.length) {
      const key = keys[draw(keys.length)]
      if (listed(at)) at.splice(key, 1); else delete at[key]
    } else if (action === 2 && !listed(at) && keys.length) {
      const key = keys[draw(keys.length)], value = at[key]
      delete at[key]; at[key] = value
    } else if (action === 3 && keys.length > 1) {
      const one = keys[draw(keys.length)], two = keys[draw(keys.length)];
      [at[one], at[two]] = [at[two], at[one]]
    } else if (action === 4) {
      const child = places[draw(places.length)]
      if (!containers(child).includes(at)) { if (listed(at)) at.push(child); else at.moved = child }
    } else if (action === 5 && keys.length) {
      const key = keys[draw(keys.length)], value = at[key]
      if (listed(value)) at[key] = [...value]
      else if (value !== null && typeof value === 'object') at[key] = {...value}
      else if (typeof value === 'string') at[key] = (value + 'x').slice(0, -1)
    } else if (action === 6 && listed(at)) { at.push(7); at.pop() }
    else if (action === 7) KEPT.push(at)
    else if (action === 8 && KEPT.length) {
      const kept = KEPT[KEPT.length < 5 ? draw(KEPT.length) : KEPT.length - 1]
      if (listed(kept)) kept.push('late'); else kept.late = true
    } else if (action === 9 && listed(at)) at.reverse()
    else if (action === 10 && at !== doc) {
      if (listed(at)) at.length = 0; else for (const name of Object.keys(at)) delete at[name]
    } else if (action === 11 && !listed(at)) {
      const turned = Object.entries(at).reverse()
      for (const [name] of turned) delete at[name]
      for (const [name, value] of turned) at[name] = value
    } else if (action === 12 && listed(at)) at.splice(0, Math.floor(at.length / 2))
    else if (action === 13 && listed(at) && at.length) at.push(at.shift())
    else if (action === 14 && listed(at)) {
      const plain = item => item !== null && typeof item === 'object' && !listed(item)
      at.splice(0, at.length, ...at.map(item => plain(item) ? {...item} : item).reverse())
    } else if (action === 15 && listed(at)) {
      const number = item => typeof item === 'number'
      const numbers = at.filter(number).sort((one, other) => one - other)
      at.splice(0, at.length, ...numbers, ...at.filter(item => !number(item)))
    }
  }
  if (KEPT.length > 20) KEPT.length = 0
  return draw(4) === 0 ? {...doc, copied: 1} : doc
}
"""
