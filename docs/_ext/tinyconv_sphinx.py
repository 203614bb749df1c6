"""What this site does beyond its Sphinx extensions: pictures, shapes, short links, formulas."""

import re
from pathlib import Path

import block_pictures
from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

import tinyconv

logger = logging.getLogger(__name__)
# A star before a name, "(N, C, *S)" or "(N, *)", and an underscore after one, "[from_, to)".
MARKUP = re.compile(r"``.*?``|(?<=[ (,])\*(?=[\w),])|(?<=\w)_(?=[,)\]])")


def escape_markup(app, what, name, obj, options, lines):
    """Keep stars and underscores of shapes and names from being read as markup."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[number] = MARKUP.sub(lambda m: m[0] if m[0][0] == "`" else "\\" + m[0], line)


def mark_code(app, what, name, obj, options, lines):
    """Read indented lines as code, up to the first section of a docstring."""
    end = next((n - 1 for n, line in enumerate(lines) if line and set(line) == {"-"}), len(lines))
    for number in range(end - 1, 1, -1):
        text = lines[number - 2][:1]
        if lines[number][:4] == "    " and not lines[number - 1] and text not in ("", " ", "-"):
            lines[number - 1 : number] = ["", "::", ""]


def find_at_top_level(app, env, node, contnode):
    """Resolve a short name such as ``manual_seed`` from any page: try tinyconv, then Tensor."""
    if node.get("refdomain") != "py":
        return None
    domain, target = env.get_domain("py"), node["reftarget"]
    for name in (f"tinyconv.{target}", f"tinyconv.Tensor.{target}"):
        if name in domain.objects:
            place = node["refdoc"], app.builder, "obj", name, node, contnode
            return domain.resolve_xref(env, *place)
    return None


def one_page_each():
    """List everything once: at the top level if it is there, as users import it."""
    tinyconv.__all__ = sorted(
        name
        for name, value in vars(tinyconv).items()
        if name[0] != "_" and (getattr(value, "__module__", None) or "").startswith("tinyconv")
    )
    for module in (tinyconv.autograd, tinyconv.amp):
        module.__all__ = [name for name in module.__all__ if name not in tinyconv.__all__]


def draw_blocks(app):
    """Draw the pictures of the page on building blocks beside it."""
    block_pictures.draw(Path(app.srcdir) / "guide" / "blocks")


def write_math(translator, node):
    """Write a formula as MathML, which browsers show without a script from the network."""
    block = isinstance(node, nodes.math_block)
    try:
        translator.body.append(tex2mathml(node.astext(), as_block=block))
    except MathError as error:
        logger.warning("math: %s", error, location=node)
    raise nodes.SkipNode


def setup(app):
    one_page_each()
    app.connect("autodoc-process-docstring", escape_markup, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", mark_code, priority=100)
    app.connect("builder-inited", draw_blocks)
    app.connect("missing-reference", find_at_top_level)
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
