"""What DeepMind's mctx makes of random trees, recorded in mctx.json: the judge of `test_search`.

mctx needs jax, which is no dependency of Keel. In an environment of its own:

    pip install mctx==0.0.71 numpy
    python tests/agents/golden/make_mctx.py
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import mctx  # pyright: ignore[reportMissingImports]
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from random_tree import RandomTree

# seed, actions, depth of the tree; simulations, considered actions
CASES = (
    (0, 4, 4, 16, 4),
    (1, 4, 5, 32, 4),
    (2, 6, 4, 32, 16),
    (3, 3, 6, 50, 3),
    (4, 8, 3, 24, 4),
    (5, 5, 5, 64, 16),
    (6, 6, 5, 100, 8),
    (7, 2, 7, 20, 2),
)


def search(seed: int, actions: int, depth: int, simulations: int, considered: int) -> dict:
    game = RandomTree(seed, actions, depth, all_legal=True)
    children, logits = jnp.array(np.maximum(game.children, 0)), jnp.array(game.logits)
    ended, outcome = jnp.array(~np.isnan(game.outcome)), jnp.array(np.nan_to_num(game.outcome))
    guess = jnp.where(ended, 0.0, jnp.array(game.guess))

    def step(params, key, action, number):
        """mctx has rewards and no ends: the outcome is a reward, and nothing counts after it."""
        after = jnp.where(ended[number], number, children[number, action])
        reward = jnp.where(ended[number] | ~ended[after], 0.0, -outcome[after])
        discount = jnp.where(ended[after], 0.0, -1.0)
        return mctx.RecurrentFnOutput(
            reward=reward, discount=discount, prior_logits=logits[after], value=guess[after]
        ), after

    root = mctx.RootFnOutput(prior_logits=logits[None, 0], value=guess[None, 0], embedding=jnp.zeros(1, jnp.int32))
    # With values from -1 to 1, half of Keel's c_scale (which is for values from 0 to 1); nothing is rescaled.
    transform = functools.partial(
        mctx.qtransform_completed_by_mix_value, value_scale=0.5, maxvisit_init=50.0, rescale_values=False
    )
    key = jax.random.PRNGKey(seed)
    found = mctx.gumbel_muzero_policy(
        None, key, root, step, simulations, max_num_considered_actions=considered, qtransform=transform
    )
    summary = found.search_tree.summary()
    return {
        "tree": [seed, actions, depth],
        "simulations": simulations,
        "considered": considered,
        "noise": np.asarray(found.search_tree.extra_data.root_gumbel)[0].tolist(),
        "action": int(found.action[0]),
        "policy": found.action_weights[0].tolist(),
        "visits": summary.visit_counts[0].tolist(),
        "value": float(summary.value[0]),
    }


if __name__ == "__main__":
    result = {"made_with": f"mctx {mctx.__version__}, jax {jax.__version__}", "rows": [search(*case) for case in CASES]}
    Path(__file__).with_name("mctx.json").write_text(json.dumps(result, indent=1) + "\n")
