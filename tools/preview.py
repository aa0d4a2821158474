"""``python -m tools.preview``: the picture that a link to the book is shown with, taken of the front page's game."""

import shutil

from playwright.sync_api import sync_playwright

from tools import book, pages

PREVIEW = pages.ROOT / "book" / "_static" / "preview.png"
SIZE, SCALE = {"width": 960, "height": 504}, 1.25  # 1200 × 630 pixels, the size that most sites ask for
ALONE = """.bd-sidebar-primary, .bd-sidebar-secondary, .bd-header, .bd-header-article { display: none !important }
.bd-main .bd-content .bd-article-container { max-width: 92% !important } h1 { margin-top: 0 !important }"""


def main():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, device_scale_factor=SCALE, color_scheme="light")
        page.goto((book.HTML / "book" / "index.html").as_uri())
        page.get_by_role("button", name="boots").first.click()
        page.add_style_tag(content=ALONE)
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=PREVIEW, animations="disabled")
        browser.close()


if __name__ == "__main__":
    main()
