package skytrail.client;

/** What a watch tells, and from where on. */
public final class WatchOptions {
    private Query query = new Query();
    private Long from;
    private boolean bookmarks;

    /** Only what the query selects; its order, revision and page size mean nothing here. */
    public WatchOptions query(Query selecting) {
        query = selecting;
        return this;
    }

    /** Goes on after an earlier watch: 1 + the revision of the last event SYNCED. */
    public WatchOptions from(long revision) {
        from = revision;
        return this;
    }

    /** Tells SYNCED every 10 s also while nothing changes. */
    public WatchOptions bookmarks() {
        bookmarks = true;
        return this;
    }

    String selection() {
        return query.selection();
    }

    Long from() {
        return from;
    }

    boolean wantsBookmarks() {
        return bookmarks;
    }
}
