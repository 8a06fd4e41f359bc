export const SubmitView = () => <p class="empty">…</p>;
