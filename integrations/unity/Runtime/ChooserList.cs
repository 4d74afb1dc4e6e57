using System;
using System.Collections.Generic;
using UnityEngine;
using UnityEngine.EventSystems;
using UnityEngine.UI;
#if AOGNET_INPUTSYSTEM && ENABLE_INPUT_SYSTEM
using UnityEngine.InputSystem.UI;
#endif

namespace Aognet
{
    /// <summary>The list of a chooser on the screen, made of uGUI without any asset.</summary>
    internal sealed class ChooserList : IDisposable
    {
        private const float Width = 300f, RowHeight = 36f;
        private static readonly Color Back = new Color(0f, 0f, 0f, 0.6f), Front = new Color(1f, 1f, 1f, 0.15f);

        private readonly GameObject canvas;
        private readonly Transform rows;
        private readonly Text status;
        private readonly Action<int> choose;
        private GameObject events;

        public ChooserList(Action<int> choose, Action<int> step, Action refresh)
        {
            this.choose = choose;
            canvas = new GameObject("Panorama Chooser", typeof(Canvas), typeof(CanvasScaler), typeof(GraphicRaycaster));
            canvas.GetComponent<Canvas>().renderMode = RenderMode.ScreenSpaceOverlay;
            var scaler = canvas.GetComponent<CanvasScaler>();
            scaler.uiScaleMode = CanvasScaler.ScaleMode.ScaleWithScreenSize;
            scaler.referenceResolution = new Vector2(1280f, 720f);
            var panel = Box("Panel", canvas.transform, Back);
            Place(panel, new Vector2(0f, 0f), new Vector2(0f, 1f), new Vector2(0f, 0f), new Vector2(Width, 0f));
            var content = Scrolled(panel);
            rows = content;
            status = Label("Status", panel, "", 14);
            Place(status.rectTransform, new Vector2(0f, 0f), new Vector2(1f, 0f), new Vector2(8f, RowHeight), new Vector2(-8f, RowHeight * 2.5f));
            var third = 1f / 3f;
            Placed(Button("<", panel, () => step(-1)), 0f, third);
            Placed(Button("Refresh", panel, () => refresh()), third, 2f * third);
            Placed(Button(">", panel, () => step(1)), 2f * third, 1f);
            if (EventSystem.current == null) events = NewEventSystem();
        }

        public void Dispose()
        {
            UnityEngine.Object.Destroy(canvas);
            if (events != null) UnityEngine.Object.Destroy(events);
            events = null;
        }

        /// <summary>Lists what can be chosen.</summary>
        public void Fill(IList<PanoramaChoice> choices)
        {
            for (var index = rows.childCount - 1; index >= 0; index--) UnityEngine.Object.Destroy(rows.GetChild(index).gameObject);
            for (var index = 0; index < choices.Count; index++)
            {
                var number = index;
                var button = Button(choices[index].Title, rows, () => choose(number));
                button.gameObject.AddComponent<LayoutElement>().preferredHeight = RowHeight;
            }
        }

        public void Say(string what)
        {
            status.text = what;
        }

        private static RectTransform Scrolled(RectTransform panel)
        {
            var view = Box("View", panel, Color.clear);
            Place(view, new Vector2(0f, 0f), new Vector2(1f, 1f), new Vector2(8f, RowHeight * 2.5f), new Vector2(-8f, -8f));
            view.gameObject.AddComponent<RectMask2D>();
            var content = Box("Rows", view, Color.clear);
            Place(content, new Vector2(0f, 1f), new Vector2(1f, 1f), new Vector2(0f, 0f), new Vector2(0f, 0f));
            content.pivot = new Vector2(0f, 1f);
            var column = content.gameObject.AddComponent<VerticalLayoutGroup>();
            column.spacing = 4f;
            column.childForceExpandHeight = false;
            column.childControlHeight = true;
            content.gameObject.AddComponent<ContentSizeFitter>().verticalFit = ContentSizeFitter.FitMode.PreferredSize;
            var scroll = view.gameObject.AddComponent<ScrollRect>();
            scroll.content = content;
            scroll.viewport = view;
            scroll.horizontal = false;
            scroll.scrollSensitivity = RowHeight;
            return content;
        }

        private static RectTransform Box(string name, Transform parent, Color colour)
        {
            var box = new GameObject(name, typeof(RectTransform), typeof(Image));
            box.transform.SetParent(parent, false);
            box.GetComponent<Image>().color = colour;
            return box.GetComponent<RectTransform>();
        }

        private static Text Label(string name, Transform parent, string text, int size)
        {
            var holder = new GameObject(name, typeof(RectTransform));
            holder.transform.SetParent(parent, false);
            var label = holder.AddComponent<Text>();
            label.font = Resources.GetBuiltinResource<Font>(FontName);
            label.fontSize = size;
            label.color = Color.white;
            label.alignment = TextAnchor.MiddleLeft;
            label.text = text;
            return label;
        }

#if UNITY_2022_2_OR_NEWER
        private const string FontName = "LegacyRuntime.ttf";
#else
        private const string FontName = "Arial.ttf";
#endif

        private static Button Button(string text, Transform parent, Action clicked)
        {
            var box = Box(text, parent, Front);
            var button = box.gameObject.AddComponent<Button>();
            button.onClick.AddListener(() => clicked());
            var label = Label("Text", box, text, 16);
            Place(label.rectTransform, new Vector2(0f, 0f), new Vector2(1f, 1f), new Vector2(8f, 0f), new Vector2(-8f, 0f));
            return button;
        }

        private static void Placed(Button button, float left, float right)
        {
            var place = button.GetComponent<RectTransform>();
            Place(place, new Vector2(left, 0f), new Vector2(right, 0f), new Vector2(2f, 2f), new Vector2(-2f, RowHeight - 2f));
        }

        private static void Place(RectTransform box, Vector2 anchorMin, Vector2 anchorMax, Vector2 offsetMin, Vector2 offsetMax)
        {
            box.anchorMin = anchorMin;
            box.anchorMax = anchorMax;
            box.offsetMin = offsetMin;
            box.offsetMax = offsetMax;
        }

        private static GameObject NewEventSystem()
        {
            var made = new GameObject("EventSystem", typeof(EventSystem));
#if AOGNET_INPUTSYSTEM && ENABLE_INPUT_SYSTEM
            made.AddComponent<InputSystemUIInputModule>();
#else
            made.AddComponent<StandaloneInputModule>();
#endif
            return made;
        }
    }
}
